//! The files of the scripts' own apt.

use std::path::Path;

/// Suites of the archive, and of the one with what is security's.
#[derive(Clone, Copy, Debug)]
pub struct Suites {
    main: &'static [&'static str],
    security: &'static [&'static str],
}

/// The suites that kernels and busybox are taken from.
pub const RELEASED: Suites = Suites {
    main: &["bookworm", "bookworm-backports", "trixie", "trixie-backports"],
    security: &["bookworm-security", "trixie-security"],
};
/// The suite with what is in none of them yet.
pub const UNSTABLE: Suites = Suites { main: &["sid"], security: &[] };

/// The first mirror in what `apt-get update --print-uris` prints whose address ends so.
pub fn mirror(uris: &str, suffix: &str) -> Option<String> {
    // Lines are `'MIRROR/dists/SUITE/...' FILE ...`.
    let addresses = uris.lines().filter_map(|line| line.strip_prefix('\'')?.split_once("/dists/"));
    let mut mirrors = addresses.map(|(mirror, _)| mirror);
    mirrors.find(|mirror| mirror.ends_with(&format!("/{suffix}"))).map(str::to_owned)
}

/// The sources.
pub fn sources(keyring: &str, main: &str, security: &str, suites: &Suites) -> String {
    let main = suites.main.iter().map(|suite| (main, suite));
    let security = suites.security.iter().map(|suite| (security, suite));
    let line = |(mirror, suite)| format!("deb [arch=amd64 signed-by={keyring}] {mirror} {suite} main\n");
    main.chain(security).map(line).collect()
}

/// The configuration. The machine's own settings are read before it, so a proxy stays; its hooks are not ours
/// to run.
pub fn configuration(folder: &Path) -> String {
    // As if nothing were installed, and with no sources, preferences or hooks but these: what the machine
    // itself has must make no difference.
    let folder = folder.display();
    format!(
        r#"Dir::State "{folder}/state";
Dir::State::status "/dev/null";
Dir::Cache "{folder}";
Dir::Cache::archives "archives";
Dir::Etc::SourceList "{folder}/sources.list";
Dir::Etc::SourceParts "-";
Dir::Etc::Preferences "-";
Dir::Etc::PreferencesParts "-";
APT::Architecture "amd64";
#clear APT::Architectures;
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
Acquire::Languages "none";
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::CNF;
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors() {
        let uris = "'http://m.example/debian/dists/bookworm/InRelease' m_InRelease 0 \n\
                    'http://m.example/debian-security/dists/bookworm-security/InRelease' s_InRelease 0 \n";
        assert_eq!(mirror(uris, "debian").as_deref(), Some("http://m.example/debian"));
        assert_eq!(mirror(uris, "debian-security").as_deref(), Some("http://m.example/debian-security"));
        assert_eq!(mirror("", "debian"), None);
        let released = sources("k", "M", "S", &RELEASED);
        assert_eq!(released.lines().next(), Some("deb [arch=amd64 signed-by=k] M bookworm main"));
        assert_eq!(released.lines().last(), Some("deb [arch=amd64 signed-by=k] S trixie-security main"));
        assert_eq!(sources("k", "M", "S", &UNSTABLE), "deb [arch=amd64 signed-by=k] M sid main\n");
    }
}
