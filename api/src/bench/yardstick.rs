//! What the machine could do at best: the same bytes appended to a file by one thread that syncs once
//! for all who wait.

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    time::Duration,
};

use super::{BenchError, Bodies, Watch, Whom, failed};

/// Bytes in one group at most, as the journal's writer has it.
const GROUP_BYTES_MAX: usize = 1 << 20;

/// Events a second that a file takes, acknowledged after `fdatasync`, from `writers` who each wait.
///
/// # Errors
/// The system's.
pub fn synced_file(
    path: &Path,
    writers: u64,
    batch: usize,
    duration: Duration,
    timestamp: &str,
) -> Result<f64, BenchError> {
    let file = File::create(path).map_err(failed("make the file of the yardstick"))?;
    let watch = Watch::start();
    let events = std::thread::scope(|scope| {
        let (queue, waiting) = sync_channel::<(Vec<u8>, SyncSender<()>)>(writers as usize);
        let committer = scope.spawn(move || commit(file, &waiting));
        let writers: Vec<_> = (0..writers)
            .map(|writer| {
                let queue = queue.clone();
                scope.spawn(move || {
                    let mut bodies = Bodies::new(writer, batch, Whom::Anybody(100_000), timestamp);
                    let (done, wait) = sync_channel(1);
                    let mut events = 0;
                    while watch.passed() < duration {
                        let body = bodies.next_batch().to_vec();
                        if queue.send((body, done.clone())).is_err() || wait.recv().is_err() {
                            break;
                        }
                        events += batch as u64;
                    }
                    events
                })
            })
            .collect();
        drop(queue);
        let events: u64 = writers.into_iter().map(|writer| writer.join().unwrap_or_default()).sum();
        let committed = committer.join().unwrap_or(Ok(()));
        committed.map(|()| events)
    });
    let events = events.map_err(failed("write the file of the yardstick"))?;
    let seconds = watch.passed().as_secs_f64();
    let _ = std::fs::remove_file(path);
    Ok(events as f64 / seconds)
}

fn commit(mut file: File, waiting: &Receiver<(Vec<u8>, SyncSender<()>)>) -> std::io::Result<()> {
    let mut group = Vec::new();
    while let Ok((bytes, done)) = waiting.recv() {
        group.clear();
        group.extend_from_slice(&bytes);
        let mut answers = vec![done];
        while group.len() < GROUP_BYTES_MAX {
            let Ok((bytes, done)) = waiting.try_recv() else { break };
            group.extend_from_slice(&bytes);
            answers.push(done);
        }
        file.write_all(&group)?;
        file.sync_data()?;
        for done in answers {
            let _ = done.send(());
        }
    }
    Ok(())
}
