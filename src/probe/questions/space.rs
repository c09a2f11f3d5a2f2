//! Room on a file system: bytes and inodes.

use std::path::Path;

use indicatif::BinaryBytes;
use nix::sys::statvfs::statvfs;

use super::super::answer::Outcome;
use crate::cause::Cause;
use crate::files;
use crate::kind::Kind;

/// Below this many free bytes the next log line of a container or the next database write may fail.
const NO_BYTES: u64 = 1 << 30;

/// Below this many, and below this share in percent, a new release of the app may not fit: its images have some ten
/// gigabytes. The share alone would warn about large disks that have room for years.
const FEW_BYTES: u64 = 20 << 30;
const LITTLE_SHARE: u64 = 10;

/// Below this share, in percent, no inodes are left: the layers of one image have tens of thousands of files.
const NO_INODES: u64 = 1;

/// The space of a file system that is available to users other than root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    bytes: u64,
    bytes_free: u64,
    inodes: u64,
    inodes_free: u64,
}

impl Space {
    /// Of the file system that `path` lies on.
    ///
    /// # Errors
    /// `host.file`, `host.permission`.
    pub(super) fn at(path: &Path) -> Result<Self, Cause> {
        let stat = statvfs(path).map_err(|errno| files::failed("look at", path, &errno.into()))?;
        let block = stat.fragment_size();
        Ok(Space {
            bytes: stat.blocks().saturating_mul(block),
            bytes_free: stat.blocks_available().saturating_mul(block),
            inodes: stat.files(),
            inodes_free: stat.files_available(),
        })
    }

    pub(super) fn judge_bytes(&self, place: &Path) -> Outcome {
        let left = format!("{} of {} free", BinaryBytes(self.bytes_free), BinaryBytes(self.bytes));
        let next_step =
            "See what is using it: docker system df; du -xh --max-depth=2 / | sort -h | tail -n 20.";
        let cause = |kind, sentence: String| {
            Cause::host(kind, sentence, next_step).with("directory", place.display()).with("space", &left)
        };
        if self.bytes_free < NO_BYTES {
            let sentence = format!("The disk under {} is full.", place.display());
            return Outcome::Failed { cause: cause(Kind::HostDiskFull, sentence) };
        }
        if self.bytes_free < FEW_BYTES && percent(self.bytes_free, self.bytes) < LITTLE_SHARE {
            let sentence = format!("The disk under {} is nearly full.", place.display());
            return Outcome::Warning { cause: cause(Kind::HostDiskFilling, sentence) };
        }
        Outcome::good(format!("{left} at {}", place.display()))
    }

    pub(super) fn judge_inodes(&self, place: &Path) -> Outcome {
        if self.inodes == 0 {
            return Outcome::good(format!(
                "the file system of {} allocates inodes dynamically",
                place.display()
            ));
        }
        let left = format!("{} of {} inodes free", self.inodes_free, self.inodes);
        let next_step = "Remove unused data: docker system prune; then see df -i.";
        let cause = |kind, sentence: String| {
            Cause::host(kind, sentence, next_step).with("directory", place.display()).with("inodes", &left)
        };
        match percent(self.inodes_free, self.inodes) {
            0..NO_INODES => {
                let sentence = format!("The file system of {} has no inodes left.", place.display());
                Outcome::Failed { cause: cause(Kind::HostNoInodes, sentence) }
            }
            NO_INODES..LITTLE_SHARE => {
                let sentence = format!("The file system of {} is running out of inodes.", place.display());
                Outcome::Warning { cause: cause(Kind::HostFewInodes, sentence) }
            }
            _ => Outcome::good(left),
        }
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100) / whole.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn kinds(bytes_free: u64, bytes: u64, inodes_free: u64, inodes: u64) -> [String; 2] {
        let space = Space { bytes, bytes_free, inodes, inodes_free };
        let place = Path::new("/var/lib/docker");
        [space.judge_bytes(place), space.judge_inodes(place)]
            .map(|outcome| outcome.cause().map_or("good", |cause| cause.kind.as_str()).to_owned())
    }

    #[test]
    fn room_is_judged_by_what_still_fits() {
        assert_eq!(kinds(50 * GIB, 100 * GIB, 500, 1000), ["good", "good"]);
        // Much is much, however small its share.
        assert_eq!(kinds(50 * GIB, 1000 * GIB, 0, 0), ["good", "good"]);
        assert_eq!(kinds(5 * GIB, 100 * GIB, 50, 1000), ["host.disk_filling", "host.few_inodes"]);
        assert_eq!(kinds(GIB - 1, 2 * GIB, 9, 1000), ["host.disk_full", "host.no_inodes"]);
    }
}
