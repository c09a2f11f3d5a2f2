//! Whether the source still holds what is in place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::fetched::{BundleFile, Fetched};

/// The paths on the box to read for [`differs`]: the four files, and the extra ones of `fetched`.
pub fn installed_paths(fetched: &Fetched) -> Vec<PathBuf> {
    let four = BundleFile::ALL.iter().map(|file| PathBuf::from(file.installed_path()));
    four.chain(fetched.extra.iter().map(|extra| extra.path.clone())).collect()
}

/// The paths on the box whose content is not the source's, in the order of [`installed_paths`]. `installed` holds what
/// was read from the box; a path that is absent there is not in place. A file that the source lacks is left alone: its
/// absence is another finding.
pub fn differs(installed: &BTreeMap<PathBuf, Vec<u8>>, fetched: &Fetched) -> Vec<PathBuf> {
    let differs = |path: &Path, content: &[u8]| installed.get(path).is_none_or(|there| there != content);
    let four = BundleFile::ALL.iter().filter_map(|file| {
        let content = fetched.files.get(file)?;
        Some((PathBuf::from(file.installed_path()), content.as_slice()))
    });
    let extra = fetched.extra.iter().map(|extra| (extra.path.clone(), extra.content.as_slice()));
    four.chain(extra).filter(|(path, content)| differs(path, content)).map(|(path, _)| path).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::ExtraFile;
    use super::*;

    #[test]
    fn each_changed_absent_and_extra_file_is_named_and_an_equal_one_is_not() {
        let extra = ExtraFile { path: "/etc/circleconfig/x".into(), mode: None, content: b"x".to_vec() };
        let mut fetched = Fetched { extra: vec![extra], ..Fetched::default() };
        for file in BundleFile::ALL {
            fetched.files.insert(file, b"same".to_vec());
        }
        let mut installed: BTreeMap<_, _> =
            installed_paths(&fetched).into_iter().map(|path| (path, b"same".to_vec())).collect();
        assert_eq!(differs(&installed, &fetched), [PathBuf::from("/etc/circleconfig/x")]);
        installed.insert("/etc/circleconfig/x".into(), b"x".to_vec());
        assert!(differs(&installed, &fetched).is_empty());
        installed.insert("/etc/settings.conf".into(), b"other".to_vec());
        installed.remove(Path::new("/etc/license.rli"));
        assert_eq!(
            differs(&installed, &fetched),
            [PathBuf::from("/etc/settings.conf"), PathBuf::from("/etc/license.rli")]
        );
    }
}
