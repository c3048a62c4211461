//! A full disk: nothing is acknowledged, and all goes on once there is room.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    http::Request,
    server::{Server, directory},
};

const MIB: usize = 1 << 20;

/// A small disk in memory; it goes with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, saying so, where this system mounts nothing for us.
    fn mount(place: &Path) -> Option<Self> {
        std::fs::create_dir(place).expect("a directory");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(place).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(place.to_owned()));
        }
        println!("skipped: no small disk can be mounted here");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn on_a_full_disk_nothing_is_acknowledged_and_all_goes_on_with_room() {
    let (directory, _) = directory();
    let Some(disk) = SmallDisk::mount(&directory.path().join("disk")) else { return };
    let server = Server::start_with(&disk.0.join("data"), &[("IMPRESARIO_STORAGE_FREE_MIN_PERCENT", "15")]);
    let event = br#"{"userId":"u1","event":"E"}"#;
    assert_eq!(server.post("/v1/track", event).status, 200);
    let filler = disk.0.join("filler");
    let free = usize::try_from(free_bytes(&disk.0)).expect("a size");
    std::fs::write(&filler, vec![1; free - 4 * MIB]).expect("the disk is filled");
    // Whichever sees it first, the door or the store: it is the same to the client.
    let mut taken = 1;
    let refused = loop {
        let answer = server.post("/v1/track", event);
        if answer.status != 200 {
            break answer;
        }
        taken += 1;
    };
    assert_eq!((refused.status, &refused.json()["code"]), (507, &"disk_full".into()), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    let ready = || Request::new("GET", "/health/ready").send(server.address).status;
    while ready() == 200 {
        std::thread::sleep(crate::server::POLL);
    }
    assert_eq!((ready(), server.control("GET", "/health/live", "").status), (503, 200));
    std::fs::remove_file(&filler).expect("there is room again");
    while ready() != 200 {
        std::thread::sleep(crate::server::POLL);
    }
    assert_eq!(server.post("/v1/track", event).status, 200);
    server.settle();
    assert_eq!(server.get("/api/profiles/user_id:u1")["features"]["events"], taken + 1);
    server.stop();
}

fn free_bytes(place: &Path) -> u64 {
    let stat = rustix::fs::statvfs(place).expect("the disk is looked at");
    stat.f_bavail * stat.f_frsize
}
