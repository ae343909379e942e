//! Senders by their address: `CF-Connecting-IP`, which Cloudflare writes itself, and no other header.
//!
//! A second factor, not a proof: whoever rents a machine in the same range passes. Providers change their ranges.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::Asked;
use super::config::Preset;
use super::descriptor::{Checked, Descriptor, PLAIN, Proof, SecretOrigin};
use super::event::Naming;
use super::secret::Key;
use super::settings::Settings;
use super::verdict::{Accepted, Reason, Rejection, Trust, Verdict};
use crate::address::Range;
use crate::problem::Fault;

const HEADER: &str = "CF-Connecting-IP";

const MAX_RANGES: usize = 64;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "ip_allow",
    title: "Address list",
    methods: &["POST", "PUT", "PATCH"],
    secret_origin: SecretOrigin::None,
    proof: Proof::None,
    signed: "",
    checked: Checked::Page,
    sources: &["Cloudflare HTTP headers: CF-Connecting-IP"],
    ..PLAIN
};

/// The preset's settings.
pub(super) struct IpAllow {
    ranges: Vec<(String, Range)>,
    naming: Naming,
}

impl IpAllow {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        const RANGES: &str = "cidrs";
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let texts = settings.texts(RANGES);
        if texts.is_empty() {
            settings.fault(
                RANGES,
                "is empty: give the ranges that the provider sends from, such as 192.0.2.0/24",
            );
        }
        if texts.len() > MAX_RANGES {
            settings.fault(RANGES, format!("holds more than {MAX_RANGES} ranges"));
        }
        let mut ranges = Vec::new();
        for text in texts.into_iter().take(MAX_RANGES) {
            match Range::parse(text) {
                Some(_) if text.ends_with("/0") => {
                    settings.fault(
                        RANGES,
                        "holds a range of all addresses: choose `unverified` if that is meant",
                    );
                }
                Some(range) => ranges.push((text.to_owned(), range)),
                None => settings.fault(
                    RANGES,
                    "must hold ranges such as 192.0.2.0/24 or 2001:db8::/32, with no bits behind the prefix",
                ),
            }
        }
        let naming = Naming::read(&mut settings, None);
        settings.finish(Self { ranges, naming })
    }
}

impl Preset for IpAllow {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        let texts: Vec<&str> = self.ranges.iter().map(|(text, _)| text.as_str()).collect();
        settings.insert("cidrs".to_owned(), texts.into());
        self.naming.write(&mut settings);
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        "none: the addresses stand in config.cidrs"
    }

    fn check_secret(&self, _: &str) -> Result<(), String> {
        Err("is not looked at by this preset: choose another one to have a secret compared".to_owned())
    }

    fn works_without_secret(&self) -> bool {
        true
    }

    fn naming(&self) -> Option<(&Naming, Trust)> {
        Some((&self.naming, Trust::Unsigned))
    }

    fn verify(&self, _: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let text = asked.request.headers.single(HEADER)?;
        let address: IpAddr = text
            .parse()
            .map_err(|_| Rejection::malformed(format!("The header {HEADER} holds no address")))?;
        // `::ffff:192.0.2.1` is the IPv4 address.
        let address = address.to_canonical();
        if !self.ranges.iter().any(|(_, range)| range.contains(address)) {
            let detail = "The sender's address is in none of this source's ranges";
            return Err(Rejection::new(Reason::IpDenied, detail));
        }
        let event = self.naming.event(asked.request, None, Trust::Unsigned);
        Ok(Accepted::new(vec![event], None).into())
    }
}
