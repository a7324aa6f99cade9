//! Files and streams that commands read and write.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use binauthz_wire::json::Limits;

use crate::failure::Failure;

/// No input of a command is larger: manifests (the largest), policies, signatures, keys.
const INPUT_BYTES_MAX: u64 = Limits::MANIFEST.bytes as u64;

/// The bytes of a file, or of standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    read_at_most(path, INPUT_BYTES_MAX)
}

/// As [`read`], with a limit of its own.
pub(crate) fn read_at_most(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::file("read", path, &error);
    let mut bytes = Vec::new();
    // One byte more than allowed tells "too long" from "just fits".
    if path == Path::new("-") {
        io::stdin()
            .lock()
            .take(bytes_max + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
    } else {
        let file = fs::File::open(path).map_err(failed)?;
        file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::usage(format_args!(
            "`{}` is longer than {bytes_max} bytes",
            path.display()
        )));
    }
    Ok(bytes)
}

/// As [`read`], for text.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read(path)?)
        .map_err(|_| Failure::usage(format_args!("`{}` is not UTF-8 text", path.display())))
}

/// Writes a file, or standard output for `-` or no path.
pub(crate) fn write(path: Option<&Path>, bytes: &[u8]) -> Result<(), Failure> {
    match path {
        Some(path) if path != Path::new("-") => {
            fs::write(path, bytes).map_err(|error| Failure::file("write", path, &error))
        }
        _ => {
            crate::output::print_bytes(bytes)?;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_no_further() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("f");
        fs::write(&path, b"1234").expect("written");
        assert_eq!(read_at_most(&path, 4).expect("fits"), b"1234");
        assert!(read_at_most(&path, 3).is_err());
        assert!(read(&folder.path().join("missing")).is_err());
        fs::write(&path, [0xff]).expect("written");
        assert!(read_text(&path).is_err());
    }
}
