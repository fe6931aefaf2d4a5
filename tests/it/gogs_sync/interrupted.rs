//! A run that is killed at any of its requests leaves nothing that a whole run does not put right,
//! and no repository without a hook.

use super::server::{Effect, Hook};
use super::world::{NEW, OLD, PUBLIC, World, assert_right, hook, right};

/// The relay takes both secrets, from hooks of type Gogs at the right path.
fn is_useful(hook: &Hook) -> bool {
    let path = hook.url.split('#').next().unwrap();
    let takes = [OLD, NEW].contains(&hook.secret.as_str());
    hook.active && takes && hook.kind == "gogs" && path == format!("{PUBLIC}hooks/gogs")
}

/// One repository of each kind of trouble.
async fn troubled() -> World {
    let names = [
        "alice/fine",
        "alice/none",
        "alice/old",
        "alice/drift",
        "alice/double",
    ];
    let world = World::start(&names).await;
    world.configure(PUBLIC, &[NEW, OLD]);
    {
        let mut server = world.server();
        let (new, old) = (right(PUBLIC, NEW), right(PUBLIC, OLD));
        let is_old = |it: &mut Hook| it.secret = OLD.to_owned();
        server.put(hook("alice/fine", &new, |_| {}));
        server.put(hook("alice/old", &old, is_old));
        server.put(hook("alice/drift", &new, |it| it.form = true));
        server.put(hook("alice/double", &old, is_old));
        server.put(hook("alice/double", &new, |it| it.events.clear()));
        server.put(hook("alice/double", &new, |_| {}));
        server.watch = Some(is_useful);
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_at_any_request_is_put_right_by_the_next() {
    let mut killed = 0;
    for effect in [Effect::None, Effect::Whole] {
        for number in 1.. {
            let world = troubled().await;
            let is_cut = world.sync_until(number, effect).await;
            killed += usize::from(is_cut);
            world.sync("").await.check(0, &[]);
            world
                .sync("")
                .await
                .check(0, &["5 repositories: nothing to do"]);
            let server = world.server();
            assert_eq!(
                server.hooks.len(),
                5,
                "{effect:?} {number}: {:?}",
                server.hooks
            );
            server.hooks.iter().for_each(assert_right);
            assert_eq!(server.uncovered, [""; 0], "{effect:?} {number}");
            if !is_cut {
                break;
            }
        }
    }
    figure!("gogs sync: killed at {killed} places, and put right by the next run each time");
    assert!(killed > 20);
}
