//! The commands of `undertone contact`, as `--help` shows them.

use clap::{Args, Subcommand, ValueEnum};

/// What to do with contacts and links.
#[derive(Debug, Subcommand)]
pub enum ContactTask {
    /// Add somebody by their link, or by address (then verify at the first call)
    Add {
        /// Their link, NAME@GATEWAY, or `-` to read one of them from standard input
        #[arg(value_name = "LINK|ADDRESS")]
        who: String,
        /// What to call them on this phone
        #[arg(long)]
        name: Option<String>,
    },
    /// List all contacts
    List,
    /// Show one contact
    Show {
        /// Their name or address
        #[arg(value_name = "NAME|ADDRESS")]
        who: String,
    },
    /// Call a contact something else
    Rename {
        /// Their name or address
        #[arg(value_name = "NAME|ADDRESS")]
        who: String,
        /// The new name
        name: String,
    },
    /// Forget a contact and its key
    Remove {
        /// Their name or address
        #[arg(value_name = "NAME|ADDRESS")]
        who: String,
    },
    /// Compare key codes by other means, or have a contact checked anew
    Verify(Verify),
    /// Make a link by which somebody calls you; both of you are verified at that call
    Link(MakeLink),
    /// List the links that you gave out
    Links,
    /// Make a link worthless that you gave out
    Withdraw {
        /// The link's number, or the name it was made for
        #[arg(value_name = "NUMBER|NAME")]
        link: String,
    },
    /// Let whoever calls ring, or only contacts and holders of links
    Strangers {
        /// Whether they may
        switch: Switch,
    },
    /// Keep from a contact's gateway who calls them
    HideFrom {
        /// Their name or address
        #[arg(value_name = "NAME|ADDRESS")]
        who: String,
        /// Whether to
        switch: Switch,
    },
}

/// Options of `verify`; without one both key codes are shown.
#[derive(Debug, Args)]
pub struct Verify {
    /// Their name or address
    #[arg(value_name = "NAME|ADDRESS")]
    pub who: String,
    /// The key code that they read from their own phone
    #[arg(long, value_name = "CODE", conflicts_with = "anew")]
    pub key_code: Option<String>,
    /// Take another key at the next call, after safety words: for a contact with a new phone
    #[arg(long)]
    pub anew: bool,
    /// Do it without asking
    #[arg(long, requires = "anew")]
    pub yes: bool,
}

/// Options of `link`.
#[derive(Debug, Args)]
pub struct MakeLink {
    /// Whom the link is for: what to call them on this phone
    #[arg(required_unless_present = "public", conflicts_with = "public")]
    pub name: Option<String>,
    /// A link for everybody: callers know that it is you, you do not know who they are
    #[arg(long)]
    pub public: bool,
    /// Close the public link: who knows only that may not ring any more
    #[arg(long, requires = "public")]
    pub close: bool,
    /// Show no QR code
    #[arg(long)]
    pub no_qr: bool,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Do so
    On,
    /// Do not
    Off,
}

impl Switch {
    /// Whether it is on.
    #[must_use]
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}
