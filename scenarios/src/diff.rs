//! A unified diff of two texts, line by line.

/// Lines around a change that are shown with it.
const AROUND: usize = 3;
/// Lines of a diff at most; traces that differ all over are not worth more.
const LINES_MAX: usize = 200;
/// Lines of the differing middle, on either side, that are compared in full.
const MIDDLE_MAX: usize = 3_000;

/// How `new` differs from `old`, as `diff -u` shows it; empty where it does not.
pub(crate) fn unified(old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = |pair: &(&&str, &&str)| pair.0 == pair.1;
    let head = old.iter().zip(&new).take_while(same).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(same).count();
    let (old_middle, new_middle) = (middle(&old, head, tail), middle(&new, head, tail));
    let mut lines: Vec<(char, &str)> = old.iter().take(head).map(|line| (' ', *line)).collect();
    if old_middle.len().max(new_middle.len()) > MIDDLE_MAX {
        lines.extend(old_middle.iter().map(|line| ('-', *line)));
        lines.extend(new_middle.iter().map(|line| ('+', *line)));
    } else {
        lines.extend(edits(old_middle, new_middle));
    }
    lines.extend(old.iter().skip(old.len() - tail).map(|line| (' ', *line)));
    if lines.iter().all(|(mark, _)| *mark == ' ') {
        return "the texts differ in their last line's end alone\n".to_owned();
    }
    show(&lines)
}

fn middle<'a, 'b>(lines: &'b [&'a str], head: usize, tail: usize) -> &'b [&'a str] {
    lines.get(head..lines.len() - tail).unwrap_or_default()
}

/// The fewest removals and additions, by the longest common subsequence.
fn edits<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let width = new.len() + 1;
    // longest[i * width + j]: common lines of old from i on and new from j on.
    let mut longest = vec![0_u32; (old.len() + 1) * width];
    let at = |longest: &[u32], i: usize, j: usize| longest.get(i * width + j).copied().unwrap_or(0);
    for (i, old_line) in old.iter().enumerate().rev() {
        for (j, new_line) in new.iter().enumerate().rev() {
            let best = match old_line == new_line {
                true => at(&longest, i + 1, j + 1) + 1,
                false => at(&longest, i + 1, j).max(at(&longest, i, j + 1)),
            };
            if let Some(cell) = longest.get_mut(i * width + j) {
                *cell = best;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    loop {
        match (old.get(i), new.get(j)) {
            (Some(old_line), Some(new_line)) if old_line == new_line => {
                lines.push((' ', *old_line));
                (i, j) = (i + 1, j + 1);
            }
            (Some(old_line), new_line) if new_line.is_none() || at(&longest, i + 1, j) >= at(&longest, i, j + 1) => {
                lines.push(('-', *old_line));
                i += 1;
            }
            (_, Some(new_line)) => {
                lines.push(('+', *new_line));
                j += 1;
            }
            _ => return lines,
        }
    }
}

fn show(lines: &[(char, &str)]) -> String {
    let changed: Vec<usize> =
        (0..lines.len()).filter(|at| lines.get(*at).is_some_and(|(mark, _)| *mark != ' ')).collect();
    let mut text = String::new();
    let mut shown = 0;
    let mut index = 0;
    while let Some(first) = changed.get(index) {
        let mut last = *first;
        while let Some(next) = changed.get(index).filter(|next| **next <= last + 2 * AROUND) {
            last = *next;
            index += 1;
        }
        let from = first.saturating_sub(AROUND);
        let to = (last + AROUND + 1).min(lines.len());
        let count = |marks: [char; 2], range: std::ops::Range<usize>| {
            lines.get(range).unwrap_or_default().iter().filter(|(mark, _)| marks.contains(mark)).count()
        };
        let (old_at, new_at) = (count([' ', '-'], 0..from) + 1, count([' ', '+'], 0..from) + 1);
        let (old_len, new_len) = (count([' ', '-'], from..to), count([' ', '+'], from..to));
        text += &format!("@@ -{old_at},{old_len} +{new_at},{new_len} @@\n");
        for (mark, line) in lines.get(from..to).unwrap_or_default() {
            text += &format!("{mark}{line}\n");
            shown += 1;
            if shown >= LINES_MAX {
                return text + "... and more\n";
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_shown_with_the_lines_around_them() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n";
        let new = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n11\n12\n13\n15\n16\n";
        let expected = "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n\
                        @@ -11,5 +11,5 @@\n 11\n 12\n 13\n-14\n 15\n+16\n";
        assert_eq!(unified(old, new), expected);
        assert_eq!(unified(old, old), "");
        assert_eq!(unified("", "a\n"), "@@ -1,0 +1,1 @@\n+a\n");
        assert_eq!(unified("a\n", ""), "@@ -1,1 +1,0 @@\n-a\n");
    }
}
