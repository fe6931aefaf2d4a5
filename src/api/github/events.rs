//! The names of the events that GitHub has.

/// Whether a hook can be made for it: an event of GitHub, of which Gogs sends eight, or `*`.
pub(in crate::api) fn is_known(name: &str) -> bool {
    name == "*" || NAMES.binary_search(&name).is_ok()
}

/// Those of a repository, in alphabetical order. Tools ask for more than Gogs has, and get those
/// that it has.
const NAMES: [&str; 61] = [
    "branch_protection_configuration",
    "branch_protection_rule",
    "bypass_request_push_ruleset",
    "bypass_request_secret_scanning",
    "check_run",
    "check_suite",
    "code_scanning_alert",
    "commit_comment",
    "create",
    "custom_property_values",
    "delete",
    "dependabot_alert",
    "deploy_key",
    "deployment",
    "deployment_protection_rule",
    "deployment_review",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "fork",
    "gollum",
    "issue_comment",
    "issue_dependencies",
    "issues",
    "label",
    "member",
    "merge_group",
    "meta",
    "milestone",
    "package",
    "page_build",
    "ping",
    "project",
    "project_card",
    "project_column",
    "public",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_review_thread",
    "push",
    "registry_package",
    "release",
    "repository",
    "repository_advisory",
    "repository_dispatch",
    "repository_import",
    "repository_ruleset",
    "repository_vulnerability_alert",
    "secret_scanning_alert",
    "secret_scanning_alert_location",
    "secret_scanning_scan",
    "security_and_analysis",
    "star",
    "status",
    "sub_issues",
    "team_add",
    "watch",
    "workflow_dispatch",
    "workflow_job",
    "workflow_run",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_because_they_are_in_order() {
        assert!(NAMES.is_sorted());
        assert!(
            ["push", "*", "ping", "workflow_run"]
                .into_iter()
                .all(is_known)
        );
        assert!(!["Push", "", "pushes"].into_iter().any(is_known));
    }
}
