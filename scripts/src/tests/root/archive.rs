//! A small Debian archive on this machine's loopback, with one package.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::command::quietly;
use crate::project::{make_folder, write};

/// What the package says of itself.
const CONTROL: &str = "Package: plinth-hello\nVersion: 1.0\nArchitecture: all\n\
    Maintainer: Nobody <nobody@localhost>\nDescription: a package of a test\n";
/// Its program.
const PROGRAM: &str = "#!/bin/sh\necho \"root: hello from the package\"\n";
/// The .deb file.
const DEB: &str = "plinth-hello_1.0_all.deb";

/// The archive. Its thread ends with the program.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Where it listens.
    pub port: u16,
    served: Arc<Mutex<Vec<String>>>,
}

impl Archive {
    /// Makes an archive in a folder, whose package has that file, and serves it.
    ///
    /// # Errors
    /// When dpkg-deb fails, or there is no port.
    pub fn start(folder: &Path, data: &[u8]) -> Result<Self> {
        let _ = fs::remove_dir_all(folder);
        let served = folder.join("served");
        make_folder(&served)?;
        package(folder, &served, data)?;
        index(&served)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port to listen at")?;
        let port = listener.local_addr().context("a port without a number")?.port();
        let names = Arc::new(Mutex::new(Vec::new()));
        let archive = Self { port, served: names.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A guest that goes away in the middle has its reasons; what counts is what it has installed.
                let name = serve(&stream, &served).unwrap_or_default();
                names.lock().unwrap_or_else(PoisonError::into_inner).push(name);
            }
        });
        Ok(archive)
    }

    /// The names of the files that were asked for, in order.
    pub fn served(&self) -> Vec<String> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Builds the package.
fn package(folder: &Path, served: &Path, data: &[u8]) -> Result<()> {
    let tree = folder.join("tree");
    let program = tree.join("usr/bin/plinth-hello");
    for (file, contents) in [
        (tree.join("DEBIAN/control"), CONTROL.as_bytes()),
        (program.clone(), PROGRAM.as_bytes()),
        (tree.join("usr/share/plinth-hello/data"), data),
    ] {
        make_folder(file.parent().unwrap_or(&tree))?;
        write(&file, contents)?;
    }
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "--build"]).arg(&tree).arg(served.join(DEB));
    quietly(&mut build, &folder.join("dpkg-deb.log"))
}

/// Writes what apt reads first: the list of packages, and the list of lists.
fn index(served: &Path) -> Result<()> {
    let deb = fs::read(served.join(DEB))?;
    let packages = format!("{CONTROL}Filename: ./{DEB}\nSize: {}\nSHA256: {}\n", deb.len(), sha256(&deb));
    let release = format!(
        "Origin: plinth\nSuite: test\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {} {} Packages\n",
        sha256(packages.as_bytes()),
        packages.len()
    );
    write(&served.join("Packages"), packages)?;
    write(&served.join("Release"), release)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a text succeeds.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Serves one request of HTTP/1.1 and closes the connection; returns the name of the file.
fn serve(mut stream: &TcpStream, folder: &Path) -> std::io::Result<String> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The headers say nothing that matters here.
    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
    let path = request.split(' ').nth(1).unwrap_or_default();
    // The last part alone, so that nothing outside the folder has a name.
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let (status, contents) = match read(&folder.join(&name)) {
        Ok(contents) => ("200 OK", contents),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", contents.len())?;
    stream.write_all(&contents)?;
    Ok(name)
}

fn read(file: &PathBuf) -> std::io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    fs::File::open(file)?.read_to_end(&mut contents)?;
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_has_its_package_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("plinth-archive-{}", std::process::id()));
        let archive = Archive::start(&folder, b"data").unwrap();
        let get = |path: &str| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, archive.port)).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut reply = Vec::new();
            stream.read_to_end(&mut reply).unwrap();
            reply
        };
        let packages = String::from_utf8(get("/./Packages")).unwrap();
        assert!(packages.starts_with("HTTP/1.1 200 OK\r\n") && packages.contains("\nSHA256: "), "{packages}");
        let deb = get(&format!("/./{DEB}"));
        let begin = deb.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        assert!(packages.ends_with(&format!("SHA256: {}\n", sha256(&deb[begin..]))));
        assert!(get("/../tree/DEBIAN/control").starts_with(b"HTTP/1.1 404"));
        assert_eq!(archive.served(), ["Packages", DEB, "control"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
