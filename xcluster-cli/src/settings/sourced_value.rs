//! Values as texts, with their source, so that each mistake is reported with the option or variable that contains it.

use std::fmt;

use xcluster_core::topology::Problems;
use xcluster_net_user::UserConfig;

use crate::report::Failure;
use crate::variables::Variables;

/// A text and its source: an option or a variable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourcedValue<'a> {
    /// The option or variable.
    pub(crate) origin: &'a str,
    /// The text.
    pub(crate) text: &'a str,
}

/// Reads values from options and variables, and collects their mistakes.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    variables: &'a Variables,
    problems: Problems,
}

impl<'a> Reader<'a> {
    /// A reader that falls back to these variables.
    pub(crate) fn new(variables: &'a Variables) -> Self {
        Self { variables, problems: Problems::default() }
    }

    /// The environment.
    pub(crate) const fn variables(&self) -> &'a Variables {
        self.variables
    }

    /// The text of an option; else of its variable.
    pub(crate) fn text(&self, option: &'a str, typed: Option<&'a str>, variable: &'a str) -> Option<SourcedValue<'a>> {
        let typed = typed.map(|text| SourcedValue { origin: option, text });
        typed.or_else(|| Some(SourcedValue { origin: variable, text: self.variables.value(variable)? }))
    }

    /// The value of an option; else of its variable. A text that cannot be parsed is recorded as a mistake and counts as none.
    pub(crate) fn value<T, E: fmt::Display>(
        &mut self,
        option: &'a str,
        typed: Option<&'a str>,
        variable: &'a str,
        parse: impl FnOnce(&'a str) -> Result<T, E>,
    ) -> Option<T> {
        let sourced = self.text(option, typed, variable)?;
        self.parse(sourced, parse)
    }

    /// The value of a text. A text that cannot be parsed is recorded as a mistake and counts as none.
    pub(crate) fn parse<T, E: fmt::Display>(
        &mut self,
        sourced: SourcedValue<'a>,
        parse: impl FnOnce(&'a str) -> Result<T, E>,
    ) -> Option<T> {
        parse(sourced.text).map_err(|error| self.problem(sourced.origin, error)).ok()
    }

    /// Records a mistake.
    pub(crate) fn problem(&mut self, origin: &str, message: impl fmt::Display) {
        self.problems.add(origin, message);
    }

    /// The settings of the user backend that variables give.
    pub(crate) fn user_config(&mut self) -> UserConfig {
        let config = UserConfig::from_vars(|name| self.variables.value(name).map(str::to_owned));
        config.unwrap_or_else(|bad| {
            bad.0.iter().for_each(|variable| self.problem("", variable));
            UserConfig::default()
        })
    }

    /// Finishes reading.
    ///
    /// # Errors
    /// All recorded mistakes.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        self.problems.into_result().map_err(|problems| Failure::from(&problems))
    }
}
