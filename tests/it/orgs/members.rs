//! Members: who may change and remove whom.

use super::{done, give, refused, remove, within};
use futures_util::future::join;
use nest_tests::{TestEdge, person::Person};
use reqwest::Method;
use serde_json::Value;
use shared::id::OrgId;

/// An organisation with a member of each kind, the owner first.
async fn staffed(edge: &TestEdge) -> (OrgId, [Person; 4]) {
    let owner = edge.person("owner@example.com").await;
    let org = edge.org(&owner, "Engines").await;
    let admin = edge.person("admin@example.com").await;
    let member = edge.person("member@example.com").await;
    let second = edge.person("second@example.com").await;
    edge.enrol(org, &admin, "admin").await;
    edge.enrol(org, &member, "member").await;
    edge.enrol(org, &second, "owner").await;
    (org, [owner, admin, member, second])
}

/// Checklist 57.
#[tokio::test]
async fn nobody_gives_or_takes_what_is_not_less_than_their_own() {
    let edge = TestEdge::start(&[]).await;
    let (org, [owner, admin, member, second]) = staffed(&edge).await;
    let beyond = || refused(403, "beyond_own_permissions");
    let strong = edge.own_role(&owner, org, "Paying", &["billing:write"]).await.to_string();
    let weak = edge.own_role(&owner, org, "Looking", &["org:read", "keys:read"]).await.to_string();
    for role in ["owner", "admin", "billing", &strong] {
        assert_eq!(give(&edge, &admin, org, &member, role).await, beyond(), "{role}");
    }
    // Nor to themselves, nor does one touch those who have it.
    assert_eq!(give(&edge, &admin, org, &admin, "owner").await, beyond());
    assert_eq!(give(&edge, &admin, org, &owner, "viewer").await, beyond());
    assert_eq!(remove(&edge, &admin, org, &owner).await, beyond());
    assert_eq!(give(&edge, &member, org, &member, "admin").await, refused(403, "permission_denied"));
    assert_eq!(remove(&edge, &member, org, &admin).await, refused(403, "permission_denied"));
    edge.enrol(org, &second, "admin").await;
    assert_eq!(remove(&edge, &admin, org, &second).await, beyond());
    edge.enrol(org, &second, &strong).await;
    assert_eq!(give(&edge, &admin, org, &second, "viewer").await, beyond());
    for role in ["viewer", "member", &weak] {
        assert_eq!(give(&edge, &admin, org, &member, role).await, done(204), "{role}");
    }
    for role in ["owner", "admin", "billing", &strong] {
        assert_eq!(give(&edge, &owner, org, &member, role).await, done(204), "{role}");
    }
    assert_eq!(give(&edge, &owner, org, &member, "king").await, refused(400, "invalid_json"));
}

/// Checklist 57: a session that was narrowed is less than its owner.
#[tokio::test]
async fn a_narrowed_session_of_an_owner_makes_no_owners_and_leaves_nothing() {
    let edge = TestEdge::start(&[]).await;
    let (org, [owner, _, member, _]) = staffed(&edge).await;
    let narrow = "update sessions set scope = 'members:write org:read' where user_id = $1::text::uuid";
    edge.db.connect().await.execute(narrow, &[&owner.user_id.uuid().to_string()]).await.unwrap();
    assert_eq!(give(&edge, &owner, org, &member, "admin").await, refused(403, "beyond_own_permissions"));
    let narrow = "update sessions set scope = 'org:read' where user_id = $1::text::uuid";
    edge.db.connect().await.execute(narrow, &[&owner.user_id.uuid().to_string()]).await.unwrap();
    assert_eq!(remove(&edge, &owner, org, &owner).await, refused(403, "permission_denied"));
}

#[tokio::test]
async fn anyone_may_leave_whatever_their_role() {
    let edge = TestEdge::start(&[]).await;
    let (org, [owner, admin, member, _]) = staffed(&edge).await;
    let role = edge.own_role(&owner, org, "Keys alone", &["keys:read"]).await;
    edge.enrol(org, &admin, &role.to_string()).await;
    for person in [&admin, &member] {
        assert_eq!(remove(&edge, person, org, person).await, done(204));
        let shown = within(&edge, person, Method::GET, org, "", Value::Null).await;
        assert_eq!(super::verdict(&shown), refused(404, "org_not_found"));
    }
    let acts = super::acts(&edge, org).await;
    assert_eq!(acts.iter().filter(|it| *it == "orgs.member_left").count(), 2, "{acts:?}");
}

/// Checklist 57.
#[tokio::test]
async fn the_last_owner_who_can_act_stays() {
    let edge = TestEdge::start(&[]).await;
    let (org, [owner, .., second]) = staffed(&edge).await;
    // A suspended owner is none who could act.
    let suspend = "update users set suspended_at = now() where id = $1::text::uuid";
    edge.db.connect().await.execute(suspend, &[&second.user_id.uuid().to_string()]).await.unwrap();
    assert_eq!(remove(&edge, &owner, org, &owner).await, refused(409, "last_owner"));
    assert_eq!(give(&edge, &owner, org, &owner, "admin").await, refused(409, "last_owner"));
    assert_eq!(give(&edge, &owner, org, &owner, "owner").await, done(204));
    assert_eq!(remove(&edge, &owner, org, &second).await, done(204));
}

/// Checklist 57: of two owners who remove, demote or leave at once, one stays an owner.
#[tokio::test]
async fn two_owners_who_go_at_once_leave_one() {
    let edge = TestEdge::start(&[]).await;
    let (org, [owner, .., second]) = staffed(&edge).await;
    let owners = "select count(*) from memberships where org_id = $1::text::uuid and role = 'owner'";
    let client = edge.db.connect().await;
    for round in 0..24 {
        edge.enrol(org, &owner, "owner").await;
        edge.enrol(org, &second, "owner").await;
        let (one, other) = match round % 4 {
            0 => join(remove(&edge, &owner, org, &second), remove(&edge, &second, org, &owner)).await,
            1 => join(remove(&edge, &owner, org, &owner), remove(&edge, &second, org, &second)).await,
            2 => join(give(&edge, &owner, org, &second, "viewer"), give(&edge, &second, org, &owner, "viewer")).await,
            _ => join(give(&edge, &owner, org, &owner, "viewer"), remove(&edge, &second, org, &second)).await,
        };
        let left: i64 = client.query_one(owners, &[&org.uuid().to_string()]).await.unwrap().get(0);
        assert_eq!(left, 1, "round {round}: {one:?} {other:?}");
        assert_eq!([&one, &other].iter().filter(|it| it.0 == 204).count(), 1, "round {round}: {one:?} {other:?}");
    }
}

/// Checklist 59: at the next request, on every edge.
#[tokio::test]
async fn a_change_of_role_counts_at_once_on_every_edge() {
    let edge = TestEdge::start(&[]).await;
    let other = TestEdge::on(&edge.db, &[]).await;
    let (org, [owner, admin, ..]) = staffed(&edge).await;
    let role = edge.own_role(&owner, org, "Watching", &["audit:read", "org:read"]).await.to_string();
    let sees = async |edge: &TestEdge, path: &str| {
        let answer = within(edge, &admin, Method::GET, org, path, Value::Null).await;
        answer.status.as_u16()
    };
    assert_eq!([sees(&edge, "/clients").await, sees(&other, "/clients").await], [200, 200]);
    assert_eq!(give(&edge, &owner, org, &admin, &role).await, done(204));
    assert_eq!([sees(&other, "/clients").await, sees(&edge, "/clients").await], [403, 403]);
    assert_eq!([sees(&other, "/audit").await, sees(&edge, "/audit").await], [200, 200]);
    // So does a change of the role itself.
    let path = format!("/roles/{role}");
    let fewer = serde_json::json!({ "permissions": ["org:read"] });
    assert_eq!(within(&edge, &owner, Method::PATCH, org, &path, fewer).await.status, 204);
    assert_eq!([sees(&other, "/audit").await, sees(&edge, "/audit").await], [403, 403]);
    assert_eq!(remove(&edge, &owner, org, &admin).await, done(204));
    assert_eq!([sees(&other, "").await, sees(&edge, "").await], [404, 404]);
}

/// Checklist 57: an act that was let in by a role that is gone when it is decided is not done.
#[tokio::test]
async fn an_act_waits_for_a_change_of_the_actor_s_own_role() {
    let edge = TestEdge::start(&[]).await;
    let (org, [_, admin, member, _]) = staffed(&edge).await;
    let mut client = edge.db.connect().await;
    let change = client.transaction().await.unwrap();
    let lock = "select from orgs where id = $1::text::uuid for no key update";
    change.execute(lock, &[&org.uuid().to_string()]).await.unwrap();
    let act = give(&edge, &admin, org, &member, "viewer");
    let demote = async {
        let waiting = "
            select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let watch = edge.db.connect().await;
        while watch.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::task::yield_now().await;
        }
        let demote =
            "update memberships set role = 'viewer' where org_id = $1::text::uuid and user_id = $2::text::uuid";
        let (org, user) = (org.uuid().to_string(), admin.user_id.uuid().to_string());
        change.execute(demote, &[&org, &user]).await.unwrap();
        change.commit().await.unwrap();
    };
    let (verdict, ()) = join(act, demote).await;
    assert_eq!(verdict, refused(409, "changed_meanwhile"));
}
