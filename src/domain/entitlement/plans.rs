//! The tenant's rules: which purchase is which plan, and what counts as access.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Plans of a tenant at the most.
const MOST_PLANS: usize = 100;

/// Prices and products of all plans together.
const MOST_IDS: usize = 1000;

const MOST_WORD: usize = 256;

/// Days of grace at the most: longer than any provider tries again.
const MOST_GRACE_DAYS: u16 = 60;

const MOST_LEEWAY_MINUTES: u16 = 24 * 60;

/// What a tenant decided. Judged by at every question, so a change counts at once, for all that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Off: events change nothing, and nothing is written.
    #[serde(default)]
    pub enabled: bool,
    /// From the smallest to the greatest: who has two has the greater.
    #[serde(default)]
    pub plans: Vec<Plan>,
    /// What an unpaid renewal means while it is tried again.
    #[serde(default)]
    pub past_due: PastDue,
    /// Days that access goes on after an unpaid renewal; at providers that have a grace of their own, that counts.
    #[serde(default = "grace_days")]
    pub grace_days: u16,
    /// Minutes that access outlives a period that will be renewed: the event of the renewal is on its way.
    #[serde(default = "leeway_minutes")]
    pub renewal_leeway_minutes: u16,
    /// Purchases of a sandbox or test mode count as real ones.
    #[serde(default)]
    pub allow_sandbox: bool,
    /// Keys of a Stripe object's metadata that hold the tenant's own id of the customer.
    #[serde(default = "user_id_keys")]
    pub user_id_keys: Vec<String>,
    /// The customer who pays for the tenant itself.
    #[serde(default)]
    pub billing_owner: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: false,
            plans: Vec::new(),
            past_due: PastDue::default(),
            grace_days: grace_days(),
            renewal_leeway_minutes: leeway_minutes(),
            allow_sandbox: false,
            user_id_keys: user_id_keys(),
            billing_owner: None,
        }
    }
}

/// A plan, and what buys it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The tenant's own word: `solo`, `team`, `founder` …
    pub plan: String,
    /// Ids of prices, products, features or entitlements, and lookup keys.
    pub ids: Vec<String>,
}

/// What an unpaid renewal means while the provider tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PastDue {
    /// Access ends with what was paid.
    Deny,
    /// Access goes on for the days of grace.
    #[default]
    Grace,
    /// Access goes on while it is tried again, to the end of the unpaid period.
    Grant,
}

/// A place in the rules that does not hold, with a sentence.
pub type InvalidConfig = (&'static str, String);

const fn grace_days() -> u16 {
    14
}

const fn leeway_minutes() -> u16 {
    60
}

fn user_id_keys() -> Vec<String> {
    ["userId", "user_id"].map(str::to_owned).to_vec()
}

impl Config {
    /// Everything that is wrong with it.
    #[must_use]
    pub fn faults(&self) -> Vec<InvalidConfig> {
        let mut faults = Vec::new();
        let word = |text: &str| (1..=MOST_WORD).contains(&text.len()) && !text.chars().any(char::is_control);
        let ids = || self.plans.iter().flat_map(|plan| &plan.ids);
        if self.plans.len() > MOST_PLANS || ids().count() > MOST_IDS {
            let sentence = format!("must be {MOST_PLANS} plans and {MOST_IDS} ids at the most");
            faults.push(("plans", sentence));
        }
        let named = self.plans.iter().map(|plan| &plan.plan);
        if !named.clone().chain(ids()).all(|text| word(text)) {
            faults.push((
                "plans",
                format!("names and ids must be 1 to {MOST_WORD} characters"),
            ));
        }
        if named.clone().collect::<BTreeSet<_>>().len() < self.plans.len() {
            faults.push(("plans", "names a plan twice".to_owned()));
        }
        if ids().collect::<BTreeSet<_>>().len() < ids().count() {
            faults.push(("plans", "gives one id to two plans".to_owned()));
        }
        if self.grace_days > MOST_GRACE_DAYS {
            faults.push(("graceDays", format!("must be 0 to {MOST_GRACE_DAYS}")));
        }
        if self.renewal_leeway_minutes > MOST_LEEWAY_MINUTES {
            faults.push((
                "renewalLeewayMinutes",
                format!("must be 0 to {MOST_LEEWAY_MINUTES}"),
            ));
        }
        if self.user_id_keys.len() > 10 || !self.user_id_keys.iter().all(|key| word(key)) {
            faults.push(("userIdKeys", "must be up to 10 keys of metadata".to_owned()));
        }
        if !self
            .billing_owner
            .as_deref()
            .is_none_or(|owner| word(owner) && !owner.starts_with('@'))
        {
            faults.push((
                "billingOwner",
                format!("must be a customer of 1 to {MOST_WORD} characters"),
            ));
        }
        faults
    }

    /// The greatest plan that one of these buys, and its place among the plans.
    pub(super) fn plan_of(&self, products: &[String]) -> Option<(usize, &str)> {
        let plans = self.plans.iter().enumerate().rev();
        plans
            .filter(|(_, plan)| plan.ids.iter().any(|id| products.contains(id)))
            .map(|(place, plan)| (place, plan.plan.as_str()))
            .next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(name: &str, ids: &[&str]) -> Plan {
        Plan {
            plan: name.to_owned(),
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        }
    }

    #[test]
    fn what_buys_two_plans_is_the_greater_one() {
        let config = Config {
            plans: vec![plan("solo", &["price_1"]), plan("team", &["price_2"])],
            ..Config::default()
        };
        let bought = |ids: &[&str]| {
            let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
            config.plan_of(&ids).map(|(_, plan)| plan.to_owned())
        };
        assert_eq!(bought(&["price_2", "price_1"]).as_deref(), Some("team"));
        assert_eq!(bought(&["prod_0", "price_1"]).as_deref(), Some("solo"));
        assert_eq!(bought(&["prod_0"]), None);
    }

    #[test]
    fn rules_that_contradict_themselves_are_refused_each_with_its_place() {
        let places = |config: Config| {
            config
                .faults()
                .iter()
                .map(|(place, _)| *place)
                .collect::<Vec<_>>()
        };
        assert!(places(Config::default()).is_empty());
        let twice = Config {
            plans: vec![plan("solo", &["price_1"]), plan("solo", &["price_1", ""])],
            grace_days: 61,
            renewal_leeway_minutes: 1441,
            billing_owner: Some("@owner".to_owned()),
            ..Config::default()
        };
        assert_eq!(
            places(twice),
            [
                "plans",
                "plans",
                "plans",
                "graceDays",
                "renewalLeewayMinutes",
                "billingOwner"
            ]
        );
    }
}
