//! The files of AWS's own tools: `~/.aws/credentials` and `~/.aws/config`. Reads text, opens nothing but them.

use ematix_flow_core::error::{ErrorCode, FlowError, Result};
use std::collections::HashMap;
use std::path::PathBuf;

/// What the files say of a profile.
pub type Profile = HashMap<String, String>;

/// Reads a profile: the named one, that of `AWS_PROFILE`, or `default`, which need not be there.
pub fn read(named: Option<&str>) -> Result<Profile> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let name = named.map(str::to_owned).or_else(|| variable("AWS_PROFILE"));
    let home = variable("HOME").map(PathBuf::from);
    let path = |variable_name: &str, file: &str| {
        variable(variable_name).map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(".aws").join(file)))
    };
    let text = |path: Option<PathBuf>| path.and_then(|path| std::fs::read_to_string(path).ok());
    let config = text(path("AWS_CONFIG_FILE", "config")).unwrap_or_default();
    let credentials = text(path("AWS_SHARED_CREDENTIALS_FILE", "credentials")).unwrap_or_default();

    let wanted = name.as_deref().unwrap_or("default");
    let mut found = section(&config, &[&format!("profile {wanted}"), wanted]);
    let own = section(&credentials, &[wanted]);
    if found.is_none() && own.is_none() && name.is_some() {
        return Err(FlowError::new(
            ErrorCode::AuthenticationFailed,
            format!("the AWS files have no profile `{wanted}`"),
        )
        .hint("`aws configure list-profiles` names those that are there"));
    }
    let mut profile = found.take().unwrap_or_default();
    profile.extend(own.unwrap_or_default());
    let indirect = ["sso_session", "sso_start_url", "role_arn", "credential_process"];
    if !profile.contains_key("aws_access_key_id")
        && let Some(how) = indirect.iter().find(|how| profile.contains_key(**how))
    {
        return Err(FlowError::new(
            ErrorCode::AuthenticationFailed,
            format!("the AWS profile `{wanted}` gets its keys by `{how}`, which only AWS's own tools follow"),
        )
        .hint(format!("eval \"$(aws configure export-credentials --profile {wanted} --format env)\"")));
    }
    Ok(profile)
}

/// The lines of a section, by their names. Indented lines belong to the line above and are no settings of the profile.
fn section(text: &str, names: &[&str]) -> Option<Profile> {
    let mut found: Option<Profile> = None;
    let mut within = false;
    for line in text.lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            within = names.contains(&name.trim());
            if within {
                found.get_or_insert_default();
            }
        } else if within
            && !line.starts_with([' ', '\t'])
            && let (Some(profile), Some((name, value))) = (&mut found, bare.split_once('='))
        {
            profile.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_the_lines_of_its_section() {
        let text = "# mine\n[default]\nregion = eu-west-1\n\n[profile lake]\nregion=eu-central-1\ns3 =\n  \
                    max_concurrent_requests = 20\naws_access_key_id = A\n[other]\nregion = x\n";
        let profile = |pairs: &[(&str, &str)]| {
            Some(
                pairs
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect::<Profile>(),
            )
        };
        assert_eq!(section(text, &["default"]), profile(&[("region", "eu-west-1")]));
        assert_eq!(
            section(text, &["profile lake", "lake"]),
            profile(&[("region", "eu-central-1"), ("s3", ""), ("aws_access_key_id", "A")])
        );
        assert_eq!(section(text, &["absent"]), None);
    }
}
