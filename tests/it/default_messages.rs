//! The `default` set: what people read in their channel, for every event that Gogs was seen to send.

use std::sync::LazyLock;

use gogs_relay::destination::Kind;
use gogs_relay::event::Event;
use gogs_relay::plan::{Templates, samples};
use serde_json::Value;

use crate::corpus;
use crate::messages::{built_in, destination, discord, event, message, slack};

static TEMPLATES: LazyLock<Templates> = LazyLock::new(built_in);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Service {
    Slack,
    Discord,
}

use Service::{Discord, Slack};

#[test]
fn every_message_comes_from_the_set_itself_and_within_the_services_limits() {
    for_every_message(|name, service, _, message| match service {
        Slack => {
            let attachments = message["attachments"].as_array();
            assert!(attachments.is_none_or(|them| them.len() == 1), "{name}");
            assert!(units(&message["text"]) <= 1000, "{name}");
            assert!(!text(&message["text"]).contains('\n'), "{name}");
            for attachment in attachments.into_iter().flatten() {
                assert!(units(&attachment["text"]) <= 4000, "{name}");
                assert!(!text(&attachment["fallback"]).contains("<http"), "{name}");
                let color = text(&attachment["color"]);
                assert!(
                    color.len() == 7 && color.starts_with('#'),
                    "{name}: {color}"
                );
            }
        }
        Discord => {
            let embeds = message["embeds"].as_array().unwrap();
            assert_eq!(embeds.len(), 1, "{name}");
            assert!(message.get("content").is_none(), "{name}");
            let embed = &embeds[0];
            assert!(embed["color"].as_u64().unwrap() <= 0xff_ffff, "{name}");
            assert!(units(&embed["title"]) <= 256, "{name}");
            assert!((1..=4096).contains(&units(&embed["description"])), "{name}");
            assert!(embed["author"]["name"].is_string(), "{name}");
        }
    });
}

#[test]
fn no_message_holds_what_only_a_machine_would_write() {
    for_every_message(|name, service, payload, message| {
        let shown = shown(service, message);
        for blemish in [
            "0001-01-01",
            "\n\n",
            " \n",
            "undefined",
            "[object]",
            "&#39;",
            "&amp;",
            "&lt;",
        ] {
            assert!(!shown.contains(blemish), "{name}: {blemish:?} in {shown}");
        }
        for count in [" 0 commit", " 1 commits", "null", "Closed #", "Reopened #"] {
            let said = shown.contains(count) && !payload.to_string().contains(count);
            assert!(!said, "{name}: {count:?} in {shown}");
        }
        for part in strings(message) {
            assert_eq!(part.trim(), part, "{name}");
            assert!(!part.is_empty(), "{name}");
        }
    });
}

#[test]
fn every_message_says_who_did_what_where() {
    for_every_message(|name, service, payload, message| {
        let line = match service {
            Slack => visible(service, text(&message["text"])),
            Discord => shown(service, message),
        };
        let mut said = vec![
            text(&payload["sender"]["username"]).to_owned(),
            text(&payload["repository"]["full_name"]).to_owned(),
        ];
        for holder in ["issue", "pull_request"] {
            said.extend(
                payload[holder]["number"]
                    .as_u64()
                    .map(|number| format!("#{number} ")),
            );
        }
        said.extend(payload["release"]["tag_name"].as_str().map(str::to_owned));
        said.extend(payload["forkee"]["full_name"].as_str().map(str::to_owned));
        if let Some(reference) = payload["ref"]
            .as_str()
            .filter(|_| !line.contains("It works"))
        {
            said.push(reference.replace("refs/heads/", ""));
        }
        for part in said {
            assert!(line.contains(&part), "{name}: {part:?} is not in {line:?}");
        }
    });
}

#[test]
fn every_link_leads_to_a_page_of_the_gogs_that_sent_the_event() {
    for_every_message(|name, service, payload, message| {
        let links = links(service, message);
        assert!(!links.is_empty(), "{name}");
        let from = payload.to_string();
        let repo = text(&payload["repository"]["html_url"]);
        let root = repo
            .strip_suffix(text(&payload["repository"]["full_name"]))
            .unwrap();
        let sender = text(&payload["sender"]["username"]);
        for link in links {
            let parsed = url::Url::parse(&link);
            assert_eq!(parsed.map(String::from).as_deref(), Ok(&*link), "{name}");
            assert!(
                link.is_ascii() && !link.contains(['(', ')', '<', '>', '|', '"']),
                "{name}: {link}"
            );
            let page = link.strip_prefix(repo).unwrap_or_default();
            let derived = ["/src/", "/issues/", "/pulls/", "/releases"];
            assert!(
                from.contains(&format!("\"{link}\""))
                    || link == format!("{root}{sender}")
                    || derived.iter().any(|start| page.starts_with(start)),
                "{name}: {link}",
            );
        }
    });
}

#[test]
fn nothing_that_somebody_wrote_reaches_a_channel() {
    for_every_message(|name, service, _, message| {
        let raw = strings(message).join("\n");
        for ping in ["<!", "<@", "<#", "@everyone", "@here", "@channel"] {
            let raw = raw.replace("\\<", "");
            assert!(!raw.contains(ping), "{name} ({service:?}): {ping} in {raw}");
        }
    });
}

#[test]
fn an_event_that_lacks_nearly_everything_still_gets_a_message() {
    let events = [
        "push",
        "create",
        "delete",
        "fork",
        "issues",
        "issue_comment",
        "pull_request",
        "release",
        "wiki",
    ];
    let payloads = [
        "{}",
        r#"{"issue": null, "commits": null, "sender": {"login": "mira"}, "action": "pinned"}"#,
    ];
    for name in events {
        for payload in payloads {
            for service in [Slack, Discord] {
                let shown = shown(service, &render(&event(name, payload.as_bytes()), service));
                let who = if payload == "{}" { "Somebody" } else { "mira" };
                assert!(shown.contains(who), "{name}: {shown}");
            }
        }
    }
}

#[test]
fn of_a_long_text_the_first_lines_are_shown_and_of_an_unused_form_nothing() {
    let cases = [
        (
            "<!-- What happened? -->\r\n\r\n",
            "No description",
            "orbit/lander",
        ),
        (
            "One<!-- hidden -->\r\n\r\n\r\n- two\n3\n4\n5\n6\n7\n",
            "One\n- two\n3\n4\n5\n6…",
            "orbit/lander\nOne\n- two\n3\n4\n5\n6…",
        ),
    ];
    let recorded = corpus::all();
    let recorded = recorded
        .iter()
        .find(|it| it.file.starts_with("081-issues-opened"));
    let recorded = recorded_event(recorded.unwrap()).unwrap();
    for (body, slack, discord) in cases {
        let mut payload: Value = serde_json::from_slice(&recorded.body).unwrap();
        payload["issue"]["body"] = body.into();
        let event = event("issues", payload.to_string().as_bytes());
        let said = text(&render(&event, Slack)["attachments"][0]["text"]).to_owned();
        assert_eq!(said, slack);
        let said = text(&render(&event, Discord)["embeds"][0]["description"]).to_owned();
        assert_eq!(visible(Discord, &said), discord);
    }
}

// The exact wording. `~` is the address of Gogs.

#[test]
fn a_push_reads_well() {
    insta::assert_snapshot!(told("006-push-three-commits"), @r##"
    slack.attachments.color: #0969da
    slack.attachments.fallback: 30cc37e Tune PID loop – Bob O'Brien
        3c3538f Log overshoot – Jonas Lindqvist
        8bf8e6a Apply review – mira
    slack.attachments.text: <~/orbit/lander/commit/30cc37e950393a0fb73f651800075dc266d56587|30cc37e> Tune PID loop – Bob O'Brien
        <~/orbit/lander/commit/3c3538f1de643dee0d25c1764d5075305c173336|3c3538f> Log overshoot – Jonas Lindqvist
        <~/orbit/lander/commit/8bf8e6aa56b73d415fba540b5353be49995dbebe|8bf8e6a> Apply review – mira
    slack.text: <~/alice|alice> pushed <~/orbit/lander/compare/44d2f304211a85981f1f63aaceb7e1325422461d...8bf8e6aa56b73d415fba540b5353be49995dbebe|3 commits> to <~/orbit/lander/src/main|main> in <~/orbit/lander|orbit/lander>
    discord.embeds.author.icon_url: https://secure.gravatar.com/avatar/5a273037591363bd361df51d26b548f9?d=identicon
    discord.embeds.author.name: alice
    discord.embeds.author.url: ~/alice
    discord.embeds.color: 616922
    discord.embeds.description: Pushed [3 commits](~/orbit/lander/compare/44d2f304211a85981f1f63aaceb7e1325422461d...8bf8e6aa56b73d415fba540b5353be49995dbebe) to [main](~/orbit/lander/src/main) in [orbit/lander](~/orbit/lander)
        [`30cc37e`](~/orbit/lander/commit/30cc37e950393a0fb73f651800075dc266d56587) Tune PID loop – Bob O'Brien
        [`3c3538f`](~/orbit/lander/commit/3c3538f1de643dee0d25c1764d5075305c173336) Log overshoot – Jonas Lindqvist
        [`8bf8e6a`](~/orbit/lander/commit/8bf8e6aa56b73d415fba540b5353be49995dbebe) Apply review – mira
    "##);
}

#[test]
fn a_push_of_more_commits_than_gogs_lists_reads_well() {
    insta::assert_snapshot!(told("008-push-twelve-commits"), @r##"
    slack.attachments.color: #0969da
    slack.attachments.fallback: e2a7e0f Step 8 of 12 – Alice Ng
        7e6b849 Step 9 of 12 – Jonas Lindqvist
        3d1cd63 Step 10 of 12 – Alice Ng
        ec205ac Step 11 of 12 – Jonas Lindqvist
        bb2114d Step 12 of 12 – Alice Ng
    slack.attachments.text: <~/orbit/lander/commit/e2a7e0f08e00ab0b10230913814f13c4d7948e54|e2a7e0f> Step 8 of 12 – Alice Ng
        <~/orbit/lander/commit/7e6b849adf5674cf17601b7987ecd51c5a6c3f50|7e6b849> Step 9 of 12 – Jonas Lindqvist
        <~/orbit/lander/commit/3d1cd63b8cf6e55d3e2910d812e9df74b3b288dd|3d1cd63> Step 10 of 12 – Alice Ng
        <~/orbit/lander/commit/ec205ac6d25cfe36586053501a4e29676e23fc0e|ec205ac> Step 11 of 12 – Jonas Lindqvist
        <~/orbit/lander/commit/bb2114d3e86d2093382f303c32c5b06e091f19db|bb2114d> Step 12 of 12 – Alice Ng
    slack.text: <~/alice|alice> pushed <~/orbit/lander/compare/bcff8a7d849ba0658c9d0d185a9dbcfad8765f3f...bb2114d3e86d2093382f303c32c5b06e091f19db|5+ commits> to <~/orbit/lander/src/main|main> in <~/orbit/lander|orbit/lander>
    discord.embeds.author.icon_url: https://secure.gravatar.com/avatar/5a273037591363bd361df51d26b548f9?d=identicon
    discord.embeds.author.name: alice
    discord.embeds.author.url: ~/alice
    discord.embeds.color: 616922
    discord.embeds.description: Pushed [5+ commits](~/orbit/lander/compare/bcff8a7d849ba0658c9d0d185a9dbcfad8765f3f...bb2114d3e86d2093382f303c32c5b06e091f19db) to [main](~/orbit/lander/src/main) in [orbit/lander](~/orbit/lander)
        [`e2a7e0f`](~/orbit/lander/commit/e2a7e0f08e00ab0b10230913814f13c4d7948e54) Step 8 of 12 – Alice Ng
        [`7e6b849`](~/orbit/lander/commit/7e6b849adf5674cf17601b7987ecd51c5a6c3f50) Step 9 of 12 – Jonas Lindqvist
        [`3d1cd63`](~/orbit/lander/commit/3d1cd63b8cf6e55d3e2910d812e9df74b3b288dd) Step 10 of 12 – Alice Ng
        [`ec205ac`](~/orbit/lander/commit/ec205ac6d25cfe36586053501a4e29676e23fc0e) Step 11 of 12 – Jonas Lindqvist
        [`bb2114d`](~/orbit/lander/commit/bb2114d3e86d2093382f303c32c5b06e091f19db) Step 12 of 12 – Alice Ng
    "##);
}

#[test]
fn a_forced_push_reads_well() {
    insta::assert_snapshot!(told("034-push-force-push-rewind"), @r##"
    slack.attachments.color: #d4a72c
    slack.attachments.fallback: 2022edc Softer – Bob O'Brien
        637a482 Even softer, amended – mira
    slack.attachments.text: Commits that came or went:
        <~/orbit/lander/commit/2022edc9cd285277e40cf5a7452161ab333e9a6f|2022edc> Softer – Bob O'Brien
        <~/orbit/lander/commit/637a48207f7f3848507440e144ecf1e6fe776c0e|637a482> Even softer, amended – mira
    slack.text: <~/alice|alice> force-pushed <~/orbit/lander/src/feature/soft-touchdown|feature/soft-touchdown> in <~/orbit/lander|orbit/lander> from <~/orbit/lander/compare/637a48207f7f3848507440e144ecf1e6fe776c0e...ff20b98dcdc8c2d0651bd582cec55c788d71f89b|637a482 to ff20b98>
    discord.embeds.author.icon_url: https://secure.gravatar.com/avatar/5a273037591363bd361df51d26b548f9?d=identicon
    discord.embeds.author.name: alice
    discord.embeds.author.url: ~/alice
    discord.embeds.color: 13936428
    discord.embeds.description: Force-pushed [feature/soft-touchdown](~/orbit/lander/src/feature/soft-touchdown) in [orbit/lander](~/orbit/lander) from [637a482 to ff20b98](~/orbit/lander/compare/637a48207f7f3848507440e144ecf1e6fe776c0e...ff20b98dcdc8c2d0651bd582cec55c788d71f89b)
        Commits that came or went:
        [`2022edc`](~/orbit/lander/commit/2022edc9cd285277e40cf5a7452161ab333e9a6f) Softer – Bob O'Brien
        [`637a482`](~/orbit/lander/commit/637a48207f7f3848507440e144ecf1e6fe776c0e) Even softer, amended – mira
    "##);
}

#[test]
fn a_new_branch_reads_well() {
    insta::assert_snapshot!(told("075-push-web-new-branch"), @r##"
    slack.attachments.color: #2da44e
    slack.attachments.fallback: d69befe Mira was here – mira
        87bf962 Bob was here – Bob O'Brien
        73ebc6c Add hello &amp; &lt;bye&gt; – Alice Ng
        2b43887 Update 'web/hello.md' – Alice Ng
        6549168 Edit README in the web – mira
    slack.attachments.text: Its latest commits:
        <~/orbit/lander/commit/d69befe09d82ed6afda779461b288571a7782c9a|d69befe> Mira was here – mira
        <~/orbit/lander/commit/87bf962d36731241cb84470ece3cd386ee29a01c|87bf962> Bob was here – Bob O'Brien
        <~/orbit/lander/commit/73ebc6c7dd32155830bc3b1e1e6dd42f6ab51a33|73ebc6c> Add hello &amp; &lt;bye&gt; – Alice Ng
        <~/orbit/lander/commit/2b43887ee09e2fddecd963b5582ba1f78d92a52f|2b43887> Update 'web/hello.md' – Alice Ng
        <~/orbit/lander/commit/6549168dc4c9b816c345489c1ce79cb93f06bd3c|6549168> Edit README in the web – mira
    slack.text: <~/mira|mira> pushed new branch <~/orbit/lander/src/web-patch|web-patch> to <~/orbit/lander|orbit/lander>
    discord.embeds.author.icon_url: ~/avatars/3
    discord.embeds.author.name: mira
    discord.embeds.author.url: ~/mira
    discord.embeds.color: 2991182
    discord.embeds.description: Pushed new branch [web-patch](~/orbit/lander/src/web-patch) to [orbit/lander](~/orbit/lander)
        Its latest commits:
        [`d69befe`](~/orbit/lander/commit/d69befe09d82ed6afda779461b288571a7782c9a) Mira was here – mira
        [`87bf962`](~/orbit/lander/commit/87bf962d36731241cb84470ece3cd386ee29a01c) Bob was here – Bob O'Brien
        [`73ebc6c`](~/orbit/lander/commit/73ebc6c7dd32155830bc3b1e1e6dd42f6ab51a33) Add hello & \<bye\> – Alice Ng
        [`2b43887`](~/orbit/lander/commit/2b43887ee09e2fddecd963b5582ba1f78d92a52f) Update 'web/hello.md' – Alice Ng
        [`6549168`](~/orbit/lander/commit/6549168dc4c9b816c345489c1ce79cb93f06bd3c) Edit README in the web – mira
    "##);
}

#[test]
fn a_mirrored_push_reads_well() {
    insta::assert_snapshot!(told("229-push-mirror-two-commits"), @r##"
    slack.attachments.color: #0969da
    slack.attachments.fallback: 606ece4 One more – Alice Ng
        338ce22 And one – Alice Ng
    slack.attachments.text: <~/alice/source-mirror/commit/606ece4ec968098ba4b04ed5467d9db25cf64725|606ece4> One more – Alice Ng
        <~/alice/source-mirror/commit/338ce22b22e46ae541776e067124281f51fe874c|338ce22> And one – Alice Ng
    slack.text: <~/alice|alice> mirrored <~/alice/source-mirror/compare/f999d5f476e8f6d81bdd8a6583c5a99029ead025...338ce22b22e46ae541776e067124281f51fe874c|2 commits> to <~/alice/source-mirror/src/main|main> in <~/alice/source-mirror|alice/source-mirror>
    discord.embeds.author.icon_url: https://secure.gravatar.com/avatar/5a273037591363bd361df51d26b548f9?d=identicon
    discord.embeds.author.name: alice
    discord.embeds.author.url: ~/alice
    discord.embeds.color: 616922
    discord.embeds.description: Mirrored [2 commits](~/alice/source-mirror/compare/f999d5f476e8f6d81bdd8a6583c5a99029ead025...338ce22b22e46ae541776e067124281f51fe874c) to [main](~/alice/source-mirror/src/main) in [alice/source-mirror](~/alice/source-mirror)
        [`606ece4`](~/alice/source-mirror/commit/606ece4ec968098ba4b04ed5467d9db25cf64725) One more – Alice Ng
        [`338ce22`](~/alice/source-mirror/commit/338ce22b22e46ae541776e067124281f51fe874c) And one – Alice Ng
    "##);
}

#[test]
fn a_deleted_tag_reads_well() {
    insta::assert_snapshot!(told("066-delete-tag-deleted"), @r##"
    slack.text: <~/alice|alice> deleted tag v0.1.0 in <~/orbit/lander|orbit/lander>
    discord.embeds.author.icon_url: https://secure.gravatar.com/avatar/5a273037591363bd361df51d26b548f9?d=identicon
    discord.embeds.author.name: alice
    discord.embeds.author.url: ~/alice
    discord.embeds.color: 13574702
    discord.embeds.description: Deleted tag v0\.1\.0 in [orbit/lander](~/orbit/lander)
    "##);
}

#[test]
fn an_opened_issue_reads_well() {
    insta::assert_snapshot!(told("082-issues-opened-rich"), @r##"
    slack.attachments.color: #2da44e
    slack.attachments.fallback: #2 Overshoot on final burn &lt;20m &amp; "rising" (open)
    slack.attachments.footer: Open · labels bug, needs, review 👀 &amp; &lt;x&gt; · milestone Touchdown 1.0 · assigned to bob
    slack.attachments.text: Engine 2 keeps firing &amp; the &lt;overshoot&gt; flag stays up.
        ## Steps
        1. Arm
        2. Descend &amp; watch
           - [ ] check `\u{200b}thrust &lt; 95%`
           - [x] read "C:\logs\new.txt"…
    slack.text: <~/alice|alice> opened issue <~/orbit/lander/issues/2|#2 Overshoot on final burn &lt;20m &amp; "rising"> in <~/orbit/lander|orbit/lander>
    discord.embeds.author.icon_url: https://secure.gravatar.com/avatar/5a273037591363bd361df51d26b548f9?d=identicon
    discord.embeds.author.name: alice
    discord.embeds.author.url: ~/alice
    discord.embeds.color: 2991182
    discord.embeds.description: [orbit/lander](~/orbit/lander) · labels bug, needs, review 👀 & \<x\> · milestone Touchdown 1\.0 · assigned to bob
        >>> Engine 2 keeps firing & the \<overshoot\> flag stays up.
        \## Steps
        1\. Arm
        2\. Descend & watch
           - \[ \] check \`thrust \< 95%\`
           - \[x\] read "C:\\logs\\new.txt"…
    discord.embeds.title: Opened issue #2 Overshoot on final burn <20m & "rising"
    discord.embeds.url: ~/orbit/lander/issues/2
    "##);
}

#[test]
fn a_closed_issue_reads_well() {
    insta::assert_snapshot!(told("106-issues-closed-in-web"), @r##"
    slack.attachments.color: #cf222e
    slack.attachments.fallback: #1 Overshoot on final burn (closed)
    slack.attachments.text: Opened by bob
    slack.text: <~/alice|alice> closed issue <~/orbit/lander/issues/1|#1 Overshoot on final burn> in <~/orbit/lander|orbit/lander>
    discord.embeds.author.icon_url: https://secure.gravatar.com/avatar/5a273037591363bd361df51d26b548f9?d=identicon
    discord.embeds.author.name: alice
    discord.embeds.author.url: ~/alice
    discord.embeds.color: 13574702
    discord.embeds.description: [orbit/lander](~/orbit/lander) · opened by bob
    discord.embeds.title: Closed issue #1 Overshoot on final burn
    discord.embeds.url: ~/orbit/lander/issues/1
    "##);
}

#[test]
fn a_labelled_issue_reads_well() {
    insta::assert_snapshot!(told("090-issues-label_updated-label-attached-second"), @r##"
    slack.attachments.color: #2da44e
    slack.attachments.fallback: #1 Overshoot on final burn (open)
    slack.attachments.text: Open · opened by bob
    slack.text: <~/alice|alice> set labels bug, needs, review 👀 &amp; &lt;x&gt; on issue <~/orbit/lander/issues/1|#1 Overshoot on final burn> in <~/orbit/lander|orbit/lander>
    discord.embeds.author.icon_url: https://secure.gravatar.com/avatar/5a273037591363bd361df51d26b548f9?d=identicon
    discord.embeds.author.name: alice
    discord.embeds.author.url: ~/alice
    discord.embeds.color: 2991182
    discord.embeds.description: [orbit/lander](~/orbit/lander) · open · opened by bob
    discord.embeds.title: Set labels bug, needs, review 👀 & <x> on issue #1 Overshoot on final burn
    discord.embeds.url: ~/orbit/lander/issues/1
    "##);
}

#[test]
fn a_renamed_issue_reads_well() {
    insta::assert_snapshot!(told("086-issues-edited-title"), @r##"
    slack.attachments.color: #2da44e
    slack.attachments.fallback: #1 Overshoot on final burn (engine 2 &amp; 3) (open)
    slack.attachments.footer: Open · opened by bob
    slack.attachments.text: The title was: Overshoot on final burn
    slack.text: <~/alice|alice> renamed issue <~/orbit/lander/issues/1|#1 Overshoot on final burn (engine 2 &amp; 3)> in <~/orbit/lander|orbit/lander>
    discord.embeds.author.icon_url: https://secure.gravatar.com/avatar/5a273037591363bd361df51d26b548f9?d=identicon
    discord.embeds.author.name: alice
    discord.embeds.author.url: ~/alice
    discord.embeds.color: 2991182
    discord.embeds.description: [orbit/lander](~/orbit/lander) · open · opened by bob
        The title was: Overshoot on final burn
    discord.embeds.title: Renamed issue #1 Overshoot on final burn (engine 2 & 3)
    discord.embeds.url: ~/orbit/lander/issues/1
    "##);
}

#[test]
fn a_merged_pull_request_reads_well() {
    insta::assert_snapshot!(told("182-pull_request-closed-merged"), @r##"
    slack.attachments.color: #8250df
    slack.attachments.fallback: #5 Soften touchdown (again) (merged)
    slack.attachments.text: Opened by alice · pull-a → main
    slack.text: <~/alice|alice> merged pull request <~/orbit/lander/pulls/5|#5 Soften touchdown (again)> in <~/orbit/lander|orbit/lander>
    discord.embeds.author.icon_url: https://secure.gravatar.com/avatar/5a273037591363bd361df51d26b548f9?d=identicon
    discord.embeds.author.name: alice
    discord.embeds.author.url: ~/alice
    discord.embeds.color: 8540383
    discord.embeds.description: [orbit/lander](~/orbit/lander) · opened by alice · pull-a → main
    discord.embeds.title: Merged pull request #5 Soften touchdown (again)
    discord.embeds.url: ~/orbit/lander/pulls/5
    "##);
}

#[test]
fn a_comment_on_a_pull_request_reads_well() {
    insta::assert_snapshot!(told("163-issue_comment-comment-created"), @r##"
    slack.attachments.color: #2da44e
    slack.attachments.fallback: Looks good &amp; &lt;clean&gt; 👍
    slack.attachments.text: Looks good &amp; &lt;clean&gt; 👍
    slack.text: <~/bob|bob> commented on pull request <~/orbit/lander/pulls/5#issuecomment-25|#5 Soften touchdown (again)> in <~/orbit/lander|orbit/lander>
    discord.embeds.author.icon_url: https://secure.gravatar.com/avatar/9a76afc53a695b42c635dd4fc6aa1526?d=identicon
    discord.embeds.author.name: bob
    discord.embeds.author.url: ~/bob
    discord.embeds.color: 2991182
    discord.embeds.description: [orbit/lander](~/orbit/lander)
        >>> Looks good & \<clean\> 👍
    discord.embeds.title: Commented on pull request #5 Soften touchdown (again)
    discord.embeds.url: ~/orbit/lander/pulls/5#issuecomment-25
    "##);
}

#[test]
fn a_release_reads_well() {
    insta::assert_snapshot!(told("196-release-published-new-tag"), @r##"
    slack.attachments.color: #2da44e
    slack.attachments.fallback: Engine 2 keeps firing &amp; the &lt;overshoot&gt; flag stays up.
        ## Steps
        1. Arm
        2. Descend &amp; watch
           - [ ] check `thrust &lt; 95%`
           - [x] read "C:\logs\new.txt"
        ```go
        if a &lt; b &amp;&amp; c &gt; d { panic("it's \"bad\"") }
        ```
        | t | v |…
    slack.attachments.text: Engine 2 keeps firing &amp; the &lt;overshoot&gt; flag stays up.
        ## Steps
        1. Arm
        2. Descend &amp; watch
           - [ ] check `\u{200b}thrust &lt; 95%`
           - [x] read "C:\logs\new.txt"
        `\u{200b}`\u{200b}`\u{200b}go
        if a &lt; b &amp;&amp; c &gt; d { panic("it's \"bad\"") }
        `\u{200b}`\u{200b}`
        | t | v |…
    slack.text: <~/alice|alice> published release <~/orbit/lander/releases|v1.0.0> “Touchdown 1.0 &amp; &lt;more&gt;” of <~/orbit/lander|orbit/lander>
    discord.embeds.author.icon_url: https://secure.gravatar.com/avatar/5a273037591363bd361df51d26b548f9?d=identicon
    discord.embeds.author.name: alice
    discord.embeds.author.url: ~/alice
    discord.embeds.color: 2991182
    discord.embeds.description: [orbit/lander](~/orbit/lander)
        >>> Engine 2 keeps firing & the \<overshoot\> flag stays up.
        \## Steps
        1\. Arm
        2\. Descend & watch
           - \[ \] check \`thrust \< 95%\`
           - \[x\] read "C:\\logs\\new.txt"
        \`\`\`go
        if a \< b && c \> d { panic\("it's \\"bad\\""\) }
        \`\`\`
        \| t \| v \|…
    discord.embeds.title: Published release v1.0.0 “Touchdown 1.0 & <more>”
    discord.embeds.url: ~/orbit/lander/releases
    "##);
}

#[test]
fn a_fork_reads_well() {
    insta::assert_snapshot!(told("138-fork-forked-by-bob"), @r##"
    slack.text: <~/bob|bob> forked <~/orbit/lander|orbit/lander> to <~/bob/lander-fork|bob/lander-fork>
    discord.embeds.author.icon_url: https://secure.gravatar.com/avatar/9a76afc53a695b42c635dd4fc6aa1526?d=identicon
    discord.embeds.author.name: bob
    discord.embeds.author.url: ~/bob
    discord.embeds.color: 616922
    discord.embeds.description: Forked [orbit/lander](~/orbit/lander) to [bob/lander-fork](~/bob/lander-fork)
    "##);
}

#[test]
fn a_test_delivery_reads_well() {
    insta::assert_snapshot!(told("001-push-test-delivery-empty-repository"), @r##"
    slack.text: It works: <~/alice|alice> sent this test from <~/orbit/lander|orbit/lander> on ~/
    discord.embeds.author.icon_url: https://secure.gravatar.com/avatar/5a273037591363bd361df51d26b548f9?d=identicon
    discord.embeds.author.name: alice
    discord.embeds.author.url: ~/alice
    discord.embeds.color: 2991182
    discord.embeds.description: It works: this is a test from [orbit/lander](~/orbit/lander) on ~/
    "##);
}

/// Calls `check` with the name, the payload and the message of every recorded event and every
/// sample, for both services.
fn for_every_message(check: impl Fn(&str, Service, &Value, &Value)) {
    let recorded = corpus::all();
    let recorded = recorded
        .iter()
        .filter_map(|it| Some((it.file.clone(), recorded_event(it)?)));
    let samples = samples().into_iter().map(|sample| {
        let name = format!("{} {}", sample.event, sample.what);
        (name, event(&sample.event, &sample.body))
    });
    let mut count = 0;
    for (name, event) in recorded.chain(samples) {
        let payload = serde_json::from_slice(&event.body).unwrap();
        for service in [Slack, Discord] {
            count += 1;
            check(&name, service, &payload, &render(&event, service));
        }
    }
    assert!(count > 2 * 170, "{count}");
}

/// The event as a hook of Gogs' own kind brought it.
fn recorded_event(recorded: &corpus::Recorded) -> Option<Event> {
    let (_, delivered) = recorded.deliveries.iter().find(|(hook, delivered)| {
        let other = ["slack", "discord", "dingtalk"];
        delivered.body.starts_with('{') && !other.iter().any(|kind| hook.contains(kind))
    })?;
    Some(event(
        delivered.header("X-Gogs-Event")?,
        delivered.body.as_bytes(),
    ))
}

fn render(event: &Event, service: Service) -> Value {
    let kind = match service {
        Slack => Kind::Slack(slack()),
        Discord => Kind::Discord(discord()),
    };
    let message = message(&TEMPLATES, event, &destination(kind, "default"));
    serde_json::from_slice(&message.body).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn units(value: &Value) -> usize {
    text(value).encode_utf16().count()
}

/// All texts of a message.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(members) => members.values().flat_map(strings).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// What a person reads of the whole message, a part a line.
fn shown(service: Service, message: &Value) -> String {
    let parts = match service {
        Slack => {
            let attachment = &message["attachments"][0];
            vec![&message["text"], &attachment["text"], &attachment["footer"]]
        }
        Discord => {
            let embed = &message["embeds"][0];
            vec![
                &embed["author"]["name"],
                &embed["title"],
                &embed["description"],
            ]
        }
    };
    let parts = parts.into_iter().filter(|part| part.is_string());
    let parts: Vec<String> = parts.map(|part| visible(service, text(part))).collect();
    parts.join("\n")
}

/// A text without what the service does not show: the addresses of links, escapes.
fn visible(service: Service, text: &str) -> String {
    match service {
        Slack => {
            let mut shown = String::new();
            for (at, part) in text.split('<').enumerate() {
                match part.split_once('>') {
                    Some((inside, after)) if at > 0 => {
                        shown.push_str(inside.split_once('|').map_or(inside, |(_, label)| label));
                        shown.push_str(after);
                    }
                    _ => shown.push_str(part),
                }
            }
            let shown = shown.replace("&lt;", "<").replace("&gt;", ">");
            shown.replace("&amp;", "&").replace('\u{200b}', "")
        }
        Discord => {
            let mut shown = String::new();
            let mut rest = text;
            while let Some((before, behind)) = rest.split_once("](") {
                shown.push_str(before);
                rest = behind.split_once(')').map_or("", |(_, after)| after);
            }
            shown.push_str(rest);
            let mut characters = shown.chars().peekable();
            let mut plain = String::new();
            while let Some(character) = characters.next() {
                let escapes =
                    character == '\\' && characters.peek().is_some_and(char::is_ascii_punctuation);
                match character {
                    _ if escapes => plain.extend(characters.next()),
                    '[' | '`' | '\u{200b}' => {}
                    _ => plain.push(character),
                }
            }
            plain.replace(">>> ", "")
        }
    }
}

/// The addresses of all links and of the embed.
fn links(service: Service, message: &Value) -> Vec<String> {
    let mut links = Vec::new();
    for part in strings(message) {
        let (open, close) = if service == Slack {
            ("<", "|")
        } else {
            ("](", ")")
        };
        for piece in part.split(open).skip(1) {
            let link = piece.split(close).next().unwrap_or_default();
            links.push(link.replace("&amp;", "&"));
        }
    }
    let embed = &message["embeds"][0];
    let own = [&embed["url"], &embed["author"]["url"]];
    links.extend(
        own.iter()
            .filter_map(|link| link.as_str())
            .map(str::to_owned),
    );
    links
}

/// The messages for a recorded event as an outline, but for what is the same in all of them.
fn told(file: &str) -> String {
    let recorded = corpus::all()
        .into_iter()
        .find(|it| it.file == file)
        .unwrap();
    let event = recorded_event(&recorded).unwrap();
    let mut told = String::new();
    for (name, service) in [("slack", Slack), ("discord", Discord)] {
        outline(name, &render(&event, service), &mut told);
    }
    told.replace("http://127.0.0.1:3000", "~")
        .replace('\u{200b}', "\\u{200b}")
}

fn outline(path: &str, value: &Value, told: &mut String) {
    match value {
        Value::Object(members) => {
            let same = ["unfurl_links", "unfurl_media", "allowed_mentions"];
            for (name, member) in members
                .iter()
                .filter(|(name, _)| !same.contains(&name.as_str()))
            {
                outline(&format!("{path}.{name}"), member, told);
            }
        }
        Value::Array(items) => {
            for item in items {
                outline(path, item, told);
            }
        }
        Value::String(text) => {
            told.push_str(&format!("{path}: {}\n", text.replace('\n', "\n    ")));
        }
        other => told.push_str(&format!("{path}: {other}\n")),
    }
}
