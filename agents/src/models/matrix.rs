//! Symmetric matrices: their lower triangles row by row.

/// Where row `row` begins.
pub(super) fn row_at(row: usize) -> usize {
    row * (row + 1) / 2
}

/// How many numbers a matrix of `side` rows has.
pub(super) fn packed_len(side: usize) -> usize {
    row_at(side)
}

/// The sum of the products; in four lanes, so always in the same order.
pub(super) fn dot(left: &[f64], right: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    let (left_by_four, right_by_four) = (left.chunks_exact(4), right.chunks_exact(4));
    let rest: f64 = left_by_four.remainder().iter().zip(right_by_four.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in left_by_four.zip(right_by_four) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}

/// The lower triangle `L` of `A = L Lᵀ` (Cholesky), in `a`'s place. Where rounding has made `a` no longer
/// positive definite, the pivot is a very small one.
pub(super) fn cholesky(a: &mut [f64]) {
    let mut start = 0;
    let mut row = 0;
    while start < a.len() {
        let (above, rest) = a.split_at_mut(start);
        let Some(current) = rest.get_mut(..=row) else { return };
        let mut other_start = 0;
        for column in 0..=row {
            let (known, open) = current.split_at_mut(column);
            let Some(cell) = open.first_mut() else { return };
            if column == row {
                *cell = (*cell - dot(known, known)).max(1e-12).sqrt();
            } else if let Some(other) = above.get(other_start..=other_start + column)
                && let Some((pivot, other)) = other.split_last()
            {
                *cell = (*cell - dot(known, other)) / pivot;
            }
            other_start += column + 1;
        }
        start += row + 1;
        row += 1;
    }
}

/// Solves `L y = x` in `x`'s place.
pub(super) fn solve_lower(lower: &[f64], x: &mut [f64]) {
    let mut start = 0;
    for row in 0..x.len() {
        let (known, open) = x.split_at_mut(row);
        if let (Some(value), Some((pivot, line))) =
            (open.first_mut(), lower.get(start..=start + row).and_then(<[f64]>::split_last))
        {
            *value = (*value - dot(line, known)) / pivot;
        }
        start += row + 1;
    }
}

/// Solves `Lᵀ y = x` in `x`'s place.
pub(super) fn solve_upper(lower: &[f64], x: &mut [f64]) {
    for row in (0..x.len()).rev() {
        let (open, done) = x.split_at_mut(row);
        let start = row_at(row);
        if let (Some(value), Some((pivot, line))) =
            (done.first_mut(), lower.get(start..=start + row).and_then(<[f64]>::split_last))
        {
            *value /= pivot;
            for (below, factor) in open.iter_mut().zip(line) {
                *below -= factor * *value;
            }
        }
    }
}

/// `A x` of a packed symmetric matrix, into `out`.
pub(super) fn multiply(a: &[f64], x: &[f64], out: &mut [f64]) {
    out.fill(0.0);
    let mut start = 0;
    for row in 0..x.len() {
        let (Some(line), Some(own)) = (a.get(start..=start + row), x.get(row)) else { return };
        let sum = x.get(..=row).map_or(0.0, |x| dot(line, x));
        for (below, cell) in out.iter_mut().zip(line).take(row) {
            *below += cell * own;
        }
        if let Some(cell) = out.get_mut(row) {
            *cell += sum;
        }
        start += row + 1;
    }
}
