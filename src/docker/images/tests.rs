use super::*;

const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);

fn id(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

fn locked(name: &str, digit: char, alias: Option<&str>) -> LockedImage {
    LockedImage {
        reference: name.parse().unwrap(),
        digest: Some(id('d').parse().unwrap()),
        id: id(digit).parse().unwrap(),
        size: None,
        alias: alias.map(|alias| alias.parse().unwrap()),
    }
}

fn local(digit: char, tags: &[&str]) -> LocalImage {
    LocalImage {
        id: id(digit),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        repo_digests: Vec::new(),
        size: 0,
    }
}

fn names(namings: &[Naming]) -> Vec<String> {
    namings.iter().map(|naming| naming.name.to_string()).collect()
}

#[test]
fn a_box_as_it_was_baked_needs_nothing() {
    let lock = Lock::new(None, vec![locked("quay.io/a:1", '1', Some("a:1"))]);
    let plan = Plan::make(&lock, &[local('1', &["quay.io/a:1", "10.0.0.7:9874/a:1"])], HERE);
    assert!(plan.is_fulfilled());
    assert!(plan.foreign.is_empty());
}

#[test]
fn the_alias_of_another_box_is_noted_and_this_boxs_is_given() {
    let lock = Lock::new(None, vec![locked("quay.io/a:1", '1', Some("a:1"))]);
    let plan = Plan::make(&lock, &[local('1', &["quay.io/a:1", "10.0.0.9:9874/a:1"])], HERE);
    assert_eq!(names(&plan.to_tag), ["10.0.0.7:9874/a:1"]);
    assert_eq!(plan.foreign, ["10.0.0.9:9874/a:1"]);
}

#[test]
fn content_under_another_name_is_named_and_not_pulled() {
    let lock = Lock::new(None, vec![locked("a:1", '1', None)]);
    let plan = Plan::make(&lock, &[local('1', &[])], HERE);
    assert_eq!(names(&plan.to_tag), ["a:1"]);
    assert!(plan.missing.is_empty());
}

#[test]
fn a_missing_image_gets_its_alias_only_once_it_is_there() {
    let lock = Lock::new(None, vec![locked("a:1", '1', Some("a:1"))]);
    let plan = Plan::make(&lock, &[local('2', &["b:1"])], HERE);
    assert_eq!(plan.missing.len(), 1);
    assert!(plan.to_tag.is_empty());
    assert_eq!(plan.aliases[0].1.name.to_string(), "10.0.0.7:9874/a:1");
    assert_eq!(refuse(&plan).unwrap_err().kind, Kind::ImagesMissing);
}

#[test]
fn a_name_on_other_content_is_wrong_whether_or_not_the_content_is_there() {
    let lock = Lock::new(None, vec![locked("a:1", '1', None)]);
    for (images, content_present) in
        [(vec![local('2', &["a:1"])], false), (vec![local('2', &["a:1"]), local('1', &[])], true)]
    {
        let plan = Plan::make(&lock, &images, HERE);
        assert_eq!(plan.wrong_id[0].content_present, content_present);
        assert_eq!(plan.wrong_id[0].found, id('2'));
        assert!(plan.missing.is_empty() && plan.to_tag.is_empty());
        assert_eq!(refuse(&plan).unwrap_err().kind, Kind::ImagesWrongId);
    }
}

#[test]
fn of_several_failures_the_one_is_told_that_no_waiting_cures() {
    let (a, b) = (locked("a:1", '1', None), locked("b:1", '2', None));
    let cause = worst(vec![
        (&a, Cause::external(Kind::RegistryRefused, "Down.", "Wait.")),
        (&b, Cause::config(Kind::RegistryNotFound, "Gone.", "Push.")),
    ])
    .unwrap();
    assert_eq!(cause.kind, Kind::RegistryNotFound);
    assert!(cause.evidence[0].value.starts_with("a:1: "), "{cause:?}");
    assert_eq!(worst(Vec::new()), None);
}
