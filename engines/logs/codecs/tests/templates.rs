//! Templates and their confinement.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;

use common::*;
use proptest::prelude::*;
use qd_logs_codecs::{
    ConfinementError, EventRef, PathConfinement, RenderError, Template, TemplateError, UnsignedIntTemplate,
    timezone_offset,
};
use qd_logs_model::{Batch, Value};
use serde_json::json;

fn render(template: &str, event: serde_json::Value) -> Result<String, RenderError> {
    Template::parse(template)
        .unwrap()
        .render(EventRef::Value(&value(event)))
}

#[test]
fn fields_are_filled_in() {
    let e = json!({"a": "x", "n": {"b": [1, {"c": true}]}, "weird key": 2.5, "nothing": null});
    assert_eq!(render("plain", e.clone()).unwrap(), "plain");
    assert_eq!(
        render("{{ a }}-{{n.b[1].c}}/{{ .n.b[0] }}", e.clone()).unwrap(),
        "x-true/1"
    );
    assert_eq!(render("{{ \"weird key\" }}", e.clone()).unwrap(), "2.5");
    assert_eq!(render("{{ nothing }}", e.clone()).unwrap(), "<null>");
    assert_eq!(render("{{ n }}", e.clone()).unwrap(), r#"{"b":[1,{"c":true}]}"#);
    assert_eq!(render("{ {{a}} }} {{", e.clone()).unwrap(), "{ x }} {{");
    assert_eq!(
        render("{{ no }}{{ a }}{{ n.no }}", e),
        Err(RenderError::Missing(vec!["no".into(), "n.no".into()]))
    );
}

#[test]
fn times_are_the_events_in_the_zone_asked_for() {
    let mut v = value(json!({"a": 1}));
    v.insert(
        &p("timestamp"),
        Value::Timestamp("2026-06-30T22:30:05.123456789Z".parse().unwrap()),
    );
    let t = |s: &str| Template::parse(s).unwrap();
    let at = |t: Template| t.render(EventRef::Value(&v)).unwrap();
    assert_eq!(at(t("/x/%Y-%m-%d/%H.log")), "/x/2026-06-30/22.log");
    assert_eq!(
        at(t("%F %T.%3f %z").with_offset(timezone_offset("UTC"))),
        "2026-06-30 22:30:05.123 +0000"
    );
    let plus3 = chrono::FixedOffset::east_opt(3 * 3600);
    assert_eq!(at(t("%F %H").with_offset(plus3)), "2026-07-01 01");
    assert_eq!(at(t("100%%")), "100%%", "without a specifier the text is as it is");
    assert!(timezone_offset("Nowhere/Town").is_none());
    // Nothing fine is cached within a second.
    let fine = t("%s.%f");
    assert_eq!(fine.render(EventRef::Value(&v)).unwrap(), "1782858605.123456789");
    v.insert(
        &p("timestamp"),
        Value::Timestamp("2026-06-30T22:30:05.5Z".parse().unwrap()),
    );
    assert_eq!(fine.render(EventRef::Value(&v)).unwrap(), "1782858605.500000000");
}

#[test]
fn bad_templates_are_refused() {
    assert_eq!(
        Template::parse("a %Q").unwrap_err(),
        TemplateError::Strftime("a %Q".into())
    );
    assert!(matches!(Template::parse("{{ a..b }}"), Err(TemplateError::Path(_))));
    assert!(Template::parse("{{}}").is_ok(), "nothing inside is no reference");
    assert!(config::<Template>(json!(3)).is_err());
}

#[test]
fn numbers_come_from_numbers_and_templates() {
    assert_eq!(
        config::<UnsignedIntTemplate>(json!(7)).unwrap(),
        UnsignedIntTemplate::Number(7)
    );
    assert_eq!(
        config::<UnsignedIntTemplate>(json!("7")).unwrap(),
        UnsignedIntTemplate::Number(7)
    );
    assert!(config::<UnsignedIntTemplate>(json!(-7)).is_err());
    assert!(config::<UnsignedIntTemplate>(json!("x")).is_err());
    let t: UnsignedIntTemplate = config(json!("{{ n }}")).unwrap();
    assert_eq!(t.render(EventRef::Value(&value(json!({"n": 12})))), Ok(12));
    assert_eq!(
        t.render(EventRef::Value(&value(json!({"n": "-1"})))),
        Err(RenderError::Number("-1".into()))
    );
}

#[test]
fn lines_and_metrics_have_fields_without_values() {
    let batch = lines(&[b"one", b"two \xff"], origin());
    let t = Template::parse("{{ message }}|{{ source_type }}|{{ timestamp }}|%Y").unwrap();
    let all: Vec<String> = (0..2)
        .map(|i| t.render(EventRef::of(&batch, i).unwrap()).unwrap())
        .collect();
    let same: Vec<String> = {
        let batch = as_events(&batch);
        (0..2)
            .map(|i| t.render(EventRef::of(&batch, i).unwrap()).unwrap())
            .collect()
    };
    assert_eq!(all, same);
    assert_eq!(all[0], "one|test|2026-01-02T03:04:05.678Z|2026");
    assert!(EventRef::of(&batch, 2).is_none());

    let batch = metrics([
        json!({"name": "n", "namespace": "s", "tags": {"a": "1", "b": ["2", "3"]}, "kind": "absolute",
        "gauge": {"value": 1.0}}),
    ]);
    let m = EventRef::of(&batch, 0).unwrap();
    let t = Template::parse("{{ namespace }}.{{name}}.{{ tags.a }}{{ tags.b }}").unwrap();
    assert_eq!(t.render(m).unwrap(), "s.n.13");
    assert!(Template::parse("{{ message }}").unwrap().render(m).is_err());
}

#[test]
fn confined_templates_stay_below_their_beginning() {
    let confined = |t: &str| Template::parse(t).unwrap().confined();
    let ok = |t: &str, v: &str| {
        confined(t)
            .unwrap()
            .render(EventRef::Value(&value(json!({ "v": v }))))
            .is_ok()
    };
    assert!(matches!(confined("{{ v }}/x"), Err(ConfinementError::NoPrefix(_))));
    assert!(matches!(confined("%Y/{{ v }}/x"), Err(ConfinementError::NoPrefix(_))));
    assert!(matches!(confined("/{{ v }}"), Err(ConfinementError::Root(_))));
    assert!(confined("%F/").is_ok(), "without fields nothing is confined");
    assert!(ok("a/{{ v }}", "b"));
    assert!(ok("a/{{ v }}", "..b"));
    assert!(!ok("a/{{ v }}", "../b"));
    assert!(!ok("a/{{ v }}", "b/.."));
    assert!(!ok("a/{{ v }}", "\0"));
    assert!(!ok("a/{{ v }}", &"x".repeat(1025)));

    assert!(matches!(confined("https://{{ v }}/"), Err(ConfinementError::Host(_))));
    assert!(matches!(confined("https://h{{ v }}/"), Err(ConfinementError::Host(_))));
    assert!(matches!(
        confined("https://h/{{ v }}?a=b"),
        Err(ConfinementError::Query(_))
    ));
    assert!(matches!(
        confined("https://h/a\\b/{{ v }}"),
        Err(ConfinementError::Escaped(_))
    ));
    assert!(ok("https://h/in/{{ v }}", "tenant"));
    for bad in ["../x", "%2e%2e/x", "a?b=c", "a#b", "a%2fb", "a\\b", "%252e", "a b"] {
        assert!(!ok("https://h/in/{{ v }}", bad), "{bad}");
    }
}

#[test]
fn paths_stay_in_their_folder() {
    let of = |t: &str, base: Option<&str>| PathConfinement::of(&Template::parse(t).unwrap(), base.map(Path::new));
    assert!(of("/var/%F.log", None).unwrap().is_none());
    assert!(matches!(of("{{ v }}.log", None), Err(ConfinementError::NoFolder(_))));
    assert!(matches!(of("/x-{{ v }}.log", None), Err(ConfinementError::Root(_))));
    assert!(matches!(
        of("/a/{{ v }}", Some("b")),
        Err(ConfinementError::NotAbsolute(_))
    ));
    assert!(matches!(of("/a/b", Some("/c")), Err(ConfinementError::Outside { .. })));
    let c = of("/var/log/app-{{ v }}.log", None).unwrap().unwrap();
    assert_eq!(c.base(), Path::new("/var/log"));
    assert_eq!(c.check("/var/log/app-/../x.log").unwrap(), Path::new("/var/log/x.log"));
    assert!(c.check("/var/log/../x").is_err());
    assert!(c.check("/etc/passwd").is_err());
    assert!(c.check("../../etc").is_err());
    assert!(
        c.check("/var/logs").is_err(),
        "a name that begins alike is another folder"
    );
}

#[test]
fn links_do_not_lead_out() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    std::fs::create_dir_all(base.join("real")).unwrap();
    std::os::unix::fs::symlink("/tmp", base.join("link")).unwrap();
    let t = Template::parse(&format!("{}/{{{{ v }}}}/x.log", base.display())).unwrap();
    let mut c = PathConfinement::of(&t, None).unwrap().unwrap();
    let path = c.check(base.join("real/new/x.log").to_str().unwrap()).unwrap();
    assert!(c.prepare(&path).unwrap().parent().unwrap().is_dir());
    let path = c.check(base.join("link/x.log").to_str().unwrap()).unwrap();
    assert!(c.prepare(&path).is_err());
}

proptest! {
    #[test]
    fn any_text_is_a_template_or_an_error(s in "\\PC{0,40}|[{} %a-zA-Z.\\[\\]\"/]{0,40}", v in "\\PC{0,30}") {
        if let Ok(t) = Template::parse(&s) {
            let e = value(json!({"a": v, "b": {"c": 1}}));
            let _ = t.render(EventRef::Value(&e));
            let _ = t.clone().confined();
            let _ = t.literal_prefix();
        }
    }

    #[test]
    fn no_field_leads_out_of_the_folder(v in "[a./\\x00~-]{0,30}") {
        let t = Template::parse("/base/dir/{{ v }}").unwrap();
        let c = PathConfinement::of(&t, None).unwrap().unwrap();
        let rendered = t.render(EventRef::Value(&value(json!({ "v": v })))).unwrap();
        if let Ok(p) = c.check(&rendered) {
            prop_assert!(p.starts_with("/base/dir"));
            prop_assert!(!p.components().any(|c| c == std::path::Component::ParentDir));
        }
        let confined = Template::parse("base/{{ v }}").unwrap().confined().unwrap();
        if let Ok(r) = confined.render(EventRef::Value(&value(json!({ "v": v })))) {
            prop_assert!(r.starts_with("base/") && !r.split('/').any(|s| s == ".."));
        }
    }

    #[test]
    fn lines_render_as_their_values_do(text in proptest::collection::vec(any::<u8>(), 0..20)) {
        let text: Vec<u8> = text.into_iter().filter(|b| *b != b'\n').collect();
        let batch: Batch = lines(&[&text], origin());
        let t = Template::parse("{{ message }} {{ source_type }}").unwrap();
        let a = t.render(EventRef::of(&batch, 0).unwrap());
        let b = t.render(EventRef::of(&as_events(&batch), 0).unwrap());
        prop_assert_eq!(a, b);
    }
}
