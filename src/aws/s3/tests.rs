use crate::kind::Kind;
use aws_sdk_s3::operation::get_object::GetObjectOutput;

use super::*;

const REQUEST: Request<'_> = Request { action: "s3:GetObject", bucket: "ha-bucket", key: "settings.conf" };

async fn read(etag: &str, length: Option<i64>, limit: usize) -> Result<Object, Cause> {
    let answer = GetObjectOutput::builder()
        .body(ByteStream::from_static(b"abc"))
        .e_tag(etag)
        .set_content_length(length)
        .build();
    object::read(&REQUEST, answer, limit).await
}

#[tokio::test]
async fn a_body_is_limited_and_verified() {
    let good = "\"900150983cd24fb0d6963f7d28e17f72\"";
    let bad = "\"900150983cd24fb0d6963f7d28e17f73\"";
    let parts = "\"900150983cd24fb0d6963f7d28e17f73-2\"";
    assert_eq!(read(good, Some(3), 3).await.unwrap().body, "abc");
    assert_eq!(read(parts, None, 3).await.unwrap().body, "abc");
    for (etag, length, limit, kind) in [
        (bad, Some(3), 10, Kind::S3Checksum),
        (good, Some(4), 10, Kind::S3BodyCut),
        (good, Some(11), 10, Kind::S3TooLarge),
        (good, None, 2, Kind::S3TooLarge),
        (good, Some(3), 2, Kind::S3TooLarge),
    ] {
        assert_eq!(read(etag, length, limit).await.unwrap_err().kind, kind);
    }
}

#[test]
fn objects_that_fail_alike_share_a_cause() {
    let mut causes = Vec::new();
    for (kind, object) in [(Kind::S3SlowDown, "a"), (Kind::S3NoSuchKey, "b"), (Kind::S3SlowDown, "c")] {
        join(
            &mut causes,
            Cause::new(kind.classes()[0], kind, kind.as_str(), "Wait.")
                .with("request id", "1")
                .with("object", object),
        );
    }
    assert_eq!(causes.len(), 2);
    let objects: Vec<_> =
        causes[0].evidence.iter().filter(|it| it.name == "object").map(|it| &it.value).collect();
    assert_eq!(objects, ["a", "c"]);
}

#[test]
fn the_path_names_the_bucket_where_the_endpoint_is_not_amazons() {
    assert!(is_amazon("https://s3.eu-west-1.amazonaws.com"));
    assert!(is_amazon("https://bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com"));
    assert!(!is_amazon("http://minio.internal:9000"));
    assert!(!is_amazon("https://amazonaws.com.example"));
}
