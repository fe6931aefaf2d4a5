//! What every answer means: each cell of the table, and each way of getting no answer.

use std::time::Duration;

use gogs_relay::clock::{Clock, Timestamp};
use gogs_relay::delivery::Reason;
use gogs_relay::destination::{DingTalk, Reach, SecretUrl, Trust};
use gogs_relay::send::egress::Refusal;
use gogs_relay::send::transport::{ANSWER, Answer, Failure, Request, Transport};
use gogs_relay::send::verdict::{Judgement, Slowdown, Verdict};
use gogs_relay::send::{dingtalk, discord, gogs, slack};
use gogs_relay::standin::{Ending, FakeGogs, Script, StandIn};
use hyper::Method;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NOW: &str = "2026-11-21T08:00:00Z";

type Judge = fn(&Answer, Timestamp) -> Judgement;

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let pairs = headers.iter().map(|(name, value)| {
        let name: HeaderName = name.parse().unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    });
    Answer {
        status,
        headers: pairs.collect::<HeaderMap>(),
        body: body.to_owned().into(),
        cut: None,
    }
}

fn check(judge: Judge, status: u16, body: &str, want: &Verdict) {
    let judgement = judge(&answer(status, &[], body), NOW.parse().unwrap());
    assert_eq!(judgement.verdict, *want, "{status} {body}");
    assert!(
        judgement.words.contains(&status.to_string()),
        "{}",
        judgement.words
    );
}

fn limits(judge: Judge, headers: &[(&str, &str)], body: &str) -> (Verdict, Option<Slowdown>) {
    let judgement = judge(&answer(429, headers, body), NOW.parse().unwrap());
    (judgement.verdict, judgement.slowdown)
}

fn retry(reason: Reason) -> Verdict {
    Verdict::Retry { reason, wait: None }
}

fn limited(seconds: f64) -> Verdict {
    Verdict::Retry {
        reason: Reason::RateLimited,
        wait: Some(Duration::from_secs_f64(seconds)),
    }
}

fn reshape(reason: Reason) -> Verdict {
    Verdict::Reshape { reason }
}

fn hold(reason: Reason, probe: Option<u64>) -> Verdict {
    Verdict::Hold {
        reason,
        probe: probe.map(Duration::from_secs),
    }
}

const HOUR: Option<u64> = Some(3600);

#[test]
fn slack_is_read_by_its_text_before_its_status() {
    use Reason::{ContentRefused, EndpointGone, EndpointRefused, RateLimited, ServerError};
    let check = |status, body: &str, want| check(slack::judge, status, body, &want);
    check(200, "ok", Verdict::Delivered);
    check(200, "", Verdict::Delivered);
    check(200, "{\"ok\":true}", Verdict::Delivered);
    for content in [
        "invalid_payload",
        "no_text",
        "too_many_attachments",
        "user_not_found",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_attachments",
        "missing_text_or_fallback_or_attachments",
    ] {
        for status in [200, 400, 500] {
            check(status, content, reshape(ContentRefused));
        }
    }
    for status in [200, 400, 403] {
        check(status, "invalid_token", hold(EndpointRefused, HOUR));
    }
    check(403, "action_prohibited", hold(EndpointRefused, HOUR));
    let general = "posting_to_general_channel_denied";
    check(403, general, hold(EndpointRefused, HOUR));
    check(404, "channel_not_found", hold(EndpointRefused, HOUR));
    check(410, "channel_is_archived", hold(EndpointRefused, HOUR));
    for gone in ["no_service", "no_service_id", "no_team", "no_active_hooks"] {
        check(404, gone, hold(EndpointGone, None));
    }
    check(403, "team_disabled", hold(EndpointGone, None));
    check(500, "rollup_error", retry(ServerError));
    check(200, "rate_limited\n", retry(RateLimited));
    let json = "{\"ok\":false,\"error\":\"invalid_blocks\"}";
    check(200, json, reshape(ContentRefused));
    check(200, "{\"ok\":false}", reshape(Reason::ClientError));
}

#[test]
fn slack_without_a_known_text_is_read_by_its_status() {
    let check = |status, want| check(slack::judge, status, "<html>what?</html>", &want);
    check(200, Verdict::Delivered);
    check(204, Verdict::Delivered);
    check(302, hold(Reason::Redirect, HOUR));
    check(400, reshape(Reason::ClientError));
    check(401, hold(Reason::EndpointRefused, HOUR));
    check(403, hold(Reason::EndpointRefused, HOUR));
    check(404, hold(Reason::EndpointGone, HOUR));
    check(410, hold(Reason::EndpointGone, HOUR));
    check(408, retry(Reason::ServerError));
    check(413, reshape(Reason::ContentRefused));
    check(418, retry(Reason::ClientError));
    for status in [500, 502, 503, 504, 599] {
        check(status, retry(Reason::ServerError));
    }
}

#[test]
fn discord_is_read_by_its_codes() {
    use Reason::{ClientError, ContentRefused, EndpointGone, EndpointRefused};
    let check = |status, body: &str, want| check(discord::judge, status, body, &want);
    let code = |code: u64| format!("{{\"message\":\"m\",\"code\":{code}}}");
    check(200, "{\"id\":\"1\"}", Verdict::Delivered);
    check(204, "", Verdict::Delivered);
    check(301, "", hold(Reason::Redirect, HOUR));
    for content in [50035, 50006, 50109, 40005, 200_000, 240_000] {
        check(400, &code(content), reshape(ContentRefused));
    }
    check(413, &code(40005), reshape(ContentRefused));
    for config in [220_001, 220_002, 220_003, 50083, 160_005, 160_006] {
        check(400, &code(config), hold(EndpointRefused, HOUR));
    }
    let thread = r#"{"code":50035,"errors":{"thread_id":{"_errors":[{"code":"X"}]}}}"#;
    check(400, thread, hold(EndpointRefused, HOUR));
    check(400, &code(1), reshape(ClientError));
    check(400, "{\"embeds\": [\"0\"]}", reshape(ClientError));
    check(400, "<html>", reshape(ClientError));
    check(401, &code(50027), hold(EndpointRefused, HOUR));
    check(403, &code(50013), hold(EndpointRefused, HOUR));
    check(403, "error code: 1010", hold(EndpointRefused, HOUR));
    check(404, &code(10015), hold(EndpointGone, None));
    check(404, &code(10003), hold(EndpointGone, HOUR));
    check(404, "", hold(EndpointGone, HOUR));
    check(410, "", hold(EndpointGone, HOUR));
    check(405, "", retry(ClientError));
    check(408, "", retry(Reason::ServerError));
    check(502, "<html>", retry(Reason::ServerError));
    check(503, &code(130_000), retry(Reason::ServerError));
}

#[test]
fn discord_names_what_it_refuses_but_repeats_no_text_of_ours() {
    let body = r#"{"code":50035,"message":"Invalid Form Body","errors":{
        "embeds":{"0":{"title":{"_errors":[{"code":"BASE_TYPE_MAX_LENGTH","message":"Must be 256 or fewer"}]},
        "my secret title":{"_errors":[{"code":"all my text","message":"x"}]}}}}}"#;
    let judgement = discord::judge(&answer(400, &[], body), NOW.parse().unwrap());
    let words = judgement.words;
    assert!(
        words.contains("embeds.0.title BASE_TYPE_MAX_LENGTH"),
        "{words}"
    );
    assert!(
        !words.contains("secret") && !words.contains("text"),
        "{words}"
    );
}

#[test]
fn a_receiver_of_gogs_format_is_read_by_its_status_alone() {
    let check = |status, want| check(gogs::judge, status, "invalid_payload", &want);
    check(200, Verdict::Delivered);
    check(299, Verdict::Delivered);
    check(307, hold(Reason::Redirect, HOUR));
    for status in [400, 401, 403, 404, 405, 413, 422] {
        check(status, retry(Reason::ClientError));
    }
    check(410, hold(Reason::EndpointGone, None));
    for status in [408, 500, 503] {
        check(status, retry(Reason::ServerError));
    }
}

#[test]
fn retry_after_is_obeyed_by_the_whole_url_in_every_form() {
    let judges: [Judge; 3] = [slack::judge, discord::judge, gogs::judge];
    let body = "{\"message\":\"slow\",\"retry_after\":0.2}";
    for judge in judges {
        for (value, seconds) in [
            ("7", 7.0),
            ("1.5", 1.5),
            ("0", 1.0),
            ("Sat, 21 Nov 2026 08:01:00 GMT", 60.0),
            ("3600", 3600.0),
        ] {
            let got = limits(judge, &[("retry-after", value)], body);
            let rest = Slowdown::Url(Duration::from_secs_f64(seconds));
            assert_eq!(got, (limited(seconds), Some(rest)), "{value}");
        }
        let (verdict, rest) = limits(judge, &[("retry-after", "43323")], body);
        assert_eq!(verdict, hold(Reason::LongWait, Some(43_323)));
        assert_eq!(rest, Some(Slowdown::Url(Duration::from_secs(3600))));
        let (verdict, _) = limits(judge, &[("retry-after", "99999999")], body);
        assert_eq!(verdict, hold(Reason::LongWait, Some(86_400)));
    }
    let (verdict, rest) = limits(gogs::judge, &[("retry-after", "soon")], "");
    assert_eq!(verdict, retry(Reason::RateLimited));
    assert_eq!(rest, Some(Slowdown::Url(Duration::from_secs(1))));
    let slack = "{\"retry_after\":4,\"ok\":false,\"error\":\"rate_limited\"}";
    assert_eq!(limits(slack::judge, &[], slack).0, limited(4.0));
}

#[test]
fn a_server_error_that_names_a_wait_gets_it() {
    let judge = |wait| {
        let answer = answer(503, &[("retry-after", wait)], "");
        gogs::judge(&answer, NOW.parse().unwrap()).verdict
    };
    let wait = Some(Duration::from_secs(30));
    let reason = Reason::ServerError;
    assert_eq!(judge("30"), Verdict::Retry { reason, wait });
    assert_eq!(judge("7200"), hold(Reason::LongWait, Some(7200)));
}

#[test]
fn discord_rests_longer_and_everywhere_for_global_and_cloudflare_blocks() {
    let everywhere = |seconds| Some(Slowdown::Service(Duration::from_secs(seconds)));
    let mild = "{\"retry_after\":40.5,\"global\":false}";
    let here = Some(Slowdown::Url(Duration::from_millis(40_500)));
    let got = limits(discord::judge, &[("retry-after", "1")], mild);
    assert_eq!(got, (limited(40.5), here), "the longer of header and body");

    let global = "{\"retry_after\":2,\"global\":true}";
    let got = limits(discord::judge, &[], global);
    assert_eq!(got, (limited(10.0), everywhere(10)));
    let header = [("x-ratelimit-global", "true"), ("retry-after", "65")];
    let got = limits(discord::judge, &header, "{}");
    assert_eq!(got, (limited(65.0), everywhere(65)));

    let got = limits(discord::judge, &[("retry-after", "30")], "error code: 1015");
    assert_eq!(got, (limited(600.0), everywhere(600)));
}

#[test]
fn discord_slows_down_before_it_is_told_to() {
    let slowdown = |left, reset| {
        let headers = [
            ("x-ratelimit-remaining", left),
            ("x-ratelimit-reset-after", reset),
        ];
        let answer = answer(200, &headers, "{}");
        discord::judge(&answer, NOW.parse().unwrap()).slowdown
    };
    let rest = Slowdown::Url(Duration::from_millis(1250));
    assert_eq!(slowdown("0", "1.25"), Some(rest));
    assert_eq!(slowdown("1", "1.25"), None);
    assert_eq!(slowdown("0", "never"), None);
}

#[test]
fn discord_urls_are_sent_to_version_ten_with_wait_and_thread() {
    let target = |text: &str, thread| {
        let url = url::Url::parse(text).unwrap();
        discord::target(&url, thread).to_string()
    };
    for url in [
        "https://discord.com/api/webhooks/1/t",
        "https://discord.com/api/v6/webhooks/1/t?wait=false",
    ] {
        let want = "https://discord.com/api/v10/webhooks/1/t?wait=true";
        assert_eq!(target(url, None), want);
    }
    assert_eq!(
        target(
            "https://discord.com/api/webhooks/1/t?thread_id=5&x=%20",
            Some("7")
        ),
        "https://discord.com/api/v10/webhooks/1/t?x=+&wait=true&thread_id=7"
    );
    assert_eq!(
        target("https://discord.com/api/webhooks/1/t?thread_id=5", None),
        "https://discord.com/api/v10/webhooks/1/t?thread_id=5&wait=true"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn dingtalk_is_read_by_its_errcode_because_it_always_answers_200() {
    use Reason::{ClientError, ContentRefused, EndpointGone, EndpointRefused, ServerError};
    let check = |body: &str, want: Verdict, words: &str| {
        let judgement = dingtalk::judge(&answer(200, &[], body), NOW.parse().unwrap());
        assert_eq!(judgement.verdict, want, "{body}");
        assert!(
            judgement.words.contains(words),
            "{body}: {}",
            judgement.words
        );
        assert!(
            !judgement.words.contains("what it says"),
            "{}",
            judgement.words
        );
    };
    let coded = |code: i64, said: &str| {
        format!("{{\"errcode\":{code},\"errmsg\":\"{said} what it says\"}}")
    };
    check(
        "{\"errcode\":0,\"errmsg\":\"ok\"}",
        Verdict::Delivered,
        "took it",
    );
    check(&coded(-1, ""), retry(ServerError), "busy");
    for code in [130_101, 302_033, 410_100] {
        check(&coded(code, ""), limited(600.0), "too fast");
    }
    for (said, words) in [
        ("keywords not in content", "keywords"),
        ("sign not match", "signature"),
        ("机器人发送签名不匹配 时间戳", "signature"),
        ("invalid timestamp", "clock"),
        ("ip 203.0.113.9 not in whitelist", "address"),
        ("", "security settings"),
    ] {
        check(&coded(310_000, said), hold(EndpointRefused, HOUR), words);
    }
    check(
        &coded(400_102, ""),
        hold(EndpointRefused, HOUR),
        "switched off",
    );
    for code in [300_001, 300_005, 400_101, 400_106, 400_013] {
        check(&coded(code, ""), hold(EndpointGone, HOUR), "gone");
    }
    check(
        &coded(40_035, "access_token"),
        hold(EndpointRefused, HOUR),
        "access_token",
    );
    for code in [
        40_035, 400_105, 101_002, 460_101, 430_101, 430_102, 430_103, 430_104,
    ] {
        check(&coded(code, ""), reshape(ContentRefused), &code.to_string());
    }
    check(&coded(999_999, ""), reshape(ClientError), "999999");
    for body in [
        "",
        "ok",
        "<html>",
        "[]",
        "{\"status\":1111,\"punish\":\"deny\"}",
    ] {
        check(body, retry(ServerError), "without an errcode");
    }
}

#[test]
fn dingtalk_has_the_signature_in_the_query_beside_what_was_there() {
    let robot = |secret: Option<&str>| DingTalk {
        url: SecretUrl::parse("https://oapi.dingtalk.com/robot/send?access_token=a%2Bb&sign=old")
            .unwrap(),
        secret: secret.map(|secret| secret.to_owned().into()),
    };
    let now = Timestamp(1_773_424_318_000);
    let plain = dingtalk::target(&robot(None), now);
    assert_eq!(
        plain.as_str(),
        "https://oapi.dingtalk.com/robot/send?access_token=a%2Bb&sign=old"
    );
    // printf '1773424318000\nSEC0' | openssl dgst -sha256 -hmac SEC0 -binary | base64
    let signed = dingtalk::target(&robot(Some("SEC0")), now);
    assert_eq!(
        signed.as_str(),
        "https://oapi.dingtalk.com/robot/send?access_token=a%2Bb&timestamp=1773424318000&sign=xTu8XxmBGLEzUUvNUrGNwsHiH4dGTTZwNwXnWfdDLkg%3D"
    );
}

async fn post(url: &str, limit: Duration) -> Result<Answer, Failure> {
    let url = url::Url::parse(url).unwrap();
    let request = Request {
        method: Method::POST,
        url: &url,
        reach: Reach::Configured,
        trust: Trust::Verified,
        headers: HeaderMap::new(),
        body: "{}".into(),
        most: ANSWER,
    };
    Transport::new(Clock::system()).call(request, limit).await
}

const PATIENT: Duration = Duration::from_secs(30);
const HASTY: Duration = Duration::from_millis(200);

/// Why there was no answer.
async fn trouble(url: &str, limit: Duration) -> Reason {
    match post(url, limit).await {
        Ok(answer) => panic!("answered {}", answer.status),
        Err(Failure::Trouble { reason, words }) => {
            assert!(!words.contains(url), "{words}");
            reason
        }
        Err(Failure::Forbidden(_)) => panic!("forbidden"),
    }
}

#[tokio::test]
async fn every_way_of_getting_no_answer_has_its_reason() {
    let standin = StandIn::start(FakeGogs::default(), Clock::system())
        .await
        .unwrap();
    let url = standin.url();
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    assert_eq!(trouble(&closed, PATIENT).await, Reason::Refused);
    assert_eq!(
        trouble("http://no.such.invalid/", PATIENT).await,
        Reason::Dns
    );
    let tls = url.replace("http:", "https:");
    assert_eq!(trouble(&tls, PATIENT).await, Reason::Tls);
    standin.script([
        Script::status(200).ending(Ending::Never),
        Script::status(200).after(Duration::from_secs(3600)),
        Script::status(200).ending(Ending::Closes),
    ]);
    assert_eq!(trouble(&url, HASTY).await, Reason::Timeout);
    assert_eq!(trouble(&url, HASTY).await, Reason::Timeout);
    assert_eq!(trouble(&url, PATIENT).await, Reason::Reset);
    let garbage = raw(b"\x00\xffSSH-2.0 what is HTTP?\r\n\r\n").await;
    assert_eq!(trouble(&garbage, PATIENT).await, Reason::Reset);
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_stalls_keeps_its_status() {
    let standin = StandIn::start(FakeGogs::default(), Clock::system())
        .await
        .unwrap();
    let half = |ending| Script::status(200).body("0123456789").ending(ending);
    standin.script([half(Ending::Cut), half(Ending::Stalls)]);
    for want in [Reason::Reset, Reason::Timeout] {
        let answer = post(&standin.url(), HASTY).await.ok().unwrap();
        assert_eq!((answer.status, answer.cut), (200, Some(want)));
        assert_eq!(answer.body, "01234");
    }
}

#[tokio::test]
async fn of_a_huge_answer_only_64_kib_are_read() {
    let standin = StandIn::start(FakeGogs::default(), Clock::system())
        .await
        .unwrap();
    standin.script([Script::status(500).body(vec![b'x'; 50 << 20])]);
    let answer = post(&standin.url(), PATIENT).await.ok().unwrap();
    assert_eq!((answer.status, answer.body.len()), (500, ANSWER));
    assert_eq!(answer.cut, None);
}

#[tokio::test]
async fn metadata_addresses_and_redirects_are_never_followed() {
    for url in ["http://169.254.169.254/latest/", "http://[fd00:ec2::254]/"] {
        assert_eq!(
            post(url, PATIENT).await.err(),
            Some(Failure::Forbidden(Refusal::Metadata))
        );
    }
    let standin = StandIn::start(FakeGogs::default(), Clock::system())
        .await
        .unwrap();
    standin.script([Script::status(307).header("location", standin.url())]);
    let answer = post(&standin.url(), PATIENT).await.ok().unwrap();
    assert_eq!(answer.status, 307);
    assert_eq!(standin.received().len(), 1);
}

#[tokio::test]
async fn a_name_and_password_in_the_url_become_a_header() {
    let standin = StandIn::start(FakeGogs::default(), Clock::system())
        .await
        .unwrap();
    let url = standin.url().replace("http://", "http://mira:p%40ss@");
    post(&url, PATIENT).await.ok().unwrap();
    let received = standin.received();
    assert_eq!(received[0].header("authorization"), "Basic bWlyYTpwQHNz");
    assert_eq!(received[0].target, "/hook");
}

/// A server that answers one connection with these bytes, whatever it is asked.
async fn raw(answer: &'static [u8]) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio_util::task::TaskTracker::new().spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = [0; 1];
        stream.read_exact(&mut asked).await.unwrap();
        stream.write_all(answer).await.unwrap();
    });
    url
}
