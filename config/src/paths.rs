//! Where the phone keeps its files: `~/.config/undertone/` (XDG base directories) or `--profile DIR`.

use crate::error::ConfigError;
use std::path::{Path, PathBuf};

/// The environment variables that decide about paths, handed in by the program.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `XDG_CONFIG_HOME`, if set and not empty.
    pub xdg_config_home: Option<PathBuf>,
    /// `HOME`, if set and not empty.
    pub home: Option<PathBuf>,
}

/// The phone's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhonePaths {
    folder: PathBuf,
}

impl Environment {
    /// Reads the process's own environment.
    pub fn of_this_process() -> Self {
        let read = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self { xdg_config_home: read("XDG_CONFIG_HOME"), home: read("HOME") }
    }
}

impl PhonePaths {
    /// The folder of `--profile`, else the user's configuration folder.
    pub fn new(profile: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        if let Some(folder) = profile {
            return Ok(Self { folder: folder.to_owned() });
        }
        let base = environment
            .xdg_config_home
            .clone()
            .or_else(|| environment.home.as_ref().map(|home| home.join(".config")))
            .ok_or(ConfigError::NoHome)?;
        Ok(Self { folder: base.join("undertone") })
    }

    /// The folder that holds everything the phone keeps.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The configuration file, `phone.toml`.
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("phone.toml")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_wins_over_xdg_and_xdg_over_home() {
        let environment = Environment { xdg_config_home: Some("/x".into()), home: Some("/h".into()) };
        let file = |profile: Option<&Path>, e: &Environment| PhonePaths::new(profile, e).map(|p| p.config_file());
        assert_eq!(file(Some(Path::new("/p")), &environment).expect("set"), Path::new("/p/phone.toml"));
        assert_eq!(file(None, &environment).expect("set"), Path::new("/x/undertone/phone.toml"));
        let only_home = Environment { xdg_config_home: None, home: Some("/h".into()) };
        assert_eq!(file(None, &only_home).expect("set"), Path::new("/h/.config/undertone/phone.toml"));
        assert!(matches!(file(None, &Environment::default()), Err(ConfigError::NoHome)));
    }
}
