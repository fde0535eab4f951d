"""Resources with data are encrypted, private and recoverable, and are retained in prod."""

import fnmatch

HOLDS_DATA = (
    "AWS::DynamoDB::Table",
    "AWS::Events::Archive",
    "AWS::Events::EventBus",  # AWS does not delete a bus that has an archive
    "AWS::Kinesis::Stream",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
)


def test_buckets_are_encrypted_versioned_and_not_public(stack):
    closed = {"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"}
    for name, bucket in stack.of_type("AWS::S3::Bucket").items():
        rules = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert [rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] for rule in rules] in (["AES256"], ["aws:kms"]), (
            name
        )
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}, name
        assert bucket["PublicAccessBlockConfiguration"] == dict.fromkeys(closed, True), name


def test_buckets_refuse_requests_without_tls(stack):
    for name in stack.of_type("AWS::S3::Bucket"):
        bucket = stack.arn(name)
        denying = [
            statement
            for policy in stack.of_type("AWS::S3::BucketPolicy").values()
            for statement in stack.statements(policy["PolicyDocument"])
            if statement.effect == "Deny"
            and statement.condition.get("Bool", {}).get("aws:SecureTransport") in (False, "false")
        ]
        resources = {resource for statement in denying for resource in statement.resources}
        assert {bucket, f"{bucket}/*"} <= resources, name


def test_buckets_move_or_expire_old_objects(stack):
    for name, bucket in stack.of_type("AWS::S3::Bucket").items():
        rules = bucket["LifecycleConfiguration"]["Rules"]
        assert rules, name
        assert all(rule["Status"] == "Enabled" for rule in rules), name


def test_tables_are_encrypted_recoverable_and_billed_by_request(stack):
    for name, table in stack.of_type("AWS::DynamoDB::Table").items():
        assert table["SSESpecification"]["SSEEnabled"] is True, name
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}, name
        assert table["BillingMode"] == "PAY_PER_REQUEST", name


def test_tables_whose_changes_are_read_publish_both_images(stack):
    for mapping in stack.mappings().values():
        table = stack.resource_with(stack.resolve(mapping["EventSourceArn"]))
        if table is not None and stack.resources[table]["Type"] == "AWS::DynamoDB::Table":
            view = stack.resources[table]["Properties"]["StreamSpecification"]["StreamViewType"]
            assert view == "NEW_AND_OLD_IMAGES", table


def test_rows_expire_by_their_attribute_ttl(stack):
    for name, table in stack.of_type("AWS::DynamoDB::Table").items():
        assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}, name


def test_queues_are_encrypted(stack):
    for name, queue in stack.of_type("AWS::SQS::Queue").items():
        assert queue.get("SqsManagedSseEnabled") is True or "KmsMasterKeyId" in queue, name


def test_streams_are_encrypted(stack):
    for name, stream in stack.of_type("AWS::Kinesis::Stream").items():
        assert stream["StreamEncryption"]["EncryptionType"] == "KMS", name


def test_a_stream_is_on_demand_or_has_shards_and_keeps_its_records_longest_in_prod(stack, stack_of):
    for name, stream in stack.of_type("AWS::Kinesis::Stream").items():
        mode = "PROVISIONED" if stack.stage == "local" else "ON_DEMAND"
        assert stream["StreamModeDetails"] == {"StreamMode": mode}, name
        assert ("ShardCount" in stream) == (mode == "PROVISIONED"), name
        in_prod = stack_of(stack.service, "prod").of_type("AWS::Kinesis::Stream")[name]
        assert stream["RetentionPeriodHours"] < in_prod["RetentionPeriodHours"] or stack.stage == "prod", name


def test_only_prod_retains_resources_with_data(stack):
    for name, resource in stack.resources.items():
        if resource["Type"] in HOLDS_DATA and not name.startswith("ServerlessDeployment"):
            policies = (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy"))
            expected = "Retain" if stack.stage == "prod" else "Delete"
            assert policies == (expected, expected), name


def test_delivery_streams_write_gzip_lines_by_date_and_failures_apart(stack):
    for name, delivery in stack.of_type("AWS::KinesisFirehose::DeliveryStream").items():
        to = delivery["ExtendedS3DestinationConfiguration"]
        assert to["CompressionFormat"] == "GZIP", name
        assert all(part in to["Prefix"] for part in ("yyyy", "MM", "dd")), name
        assert "!{firehose:error-output-type}" in to["ErrorOutputPrefix"], name
        assert not to["ErrorOutputPrefix"].startswith(to["Prefix"].split("/")[0] + "/"), name
        assert to["CloudWatchLoggingOptions"]["Enabled"] is True, name


def test_a_delivery_stream_may_write_into_its_bucket_below_its_prefixes(stack):
    for delivery in stack.of_type("AWS::KinesisFirehose::DeliveryStream").values():
        to = delivery["ExtendedS3DestinationConfiguration"]
        bucket = stack.resolve(to["BucketARN"])
        for prefix in (to["Prefix"], to["ErrorOutputPrefix"]):
            key = f"{bucket}/{prefix.split('!', 1)[0]}2026/01/01/object.gz"
            assert stack.role_may(to["RoleARN"], "s3:PutObject", key), prefix


def test_a_notified_function_may_read_the_objects(stack):
    for name, bucket in stack.of_type("AWS::S3::Bucket").items():
        for each in bucket.get("NotificationConfiguration", {}).get("LambdaConfigurations", []):
            function = next(
                properties
                for properties in stack.functions.values()
                if stack.resolve(each["Function"]).endswith(stack.resolve(properties["FunctionName"]))
            )
            rules = each.get("Filter", {}).get("S3Key", {}).get("Rules", [])
            prefix = "".join(rule["Value"] for rule in rules if rule["Name"].lower() == "prefix")
            assert stack.role_may(function["Role"], "s3:GetObject", f"{stack.arn(name)}/{prefix}x"), name
            permitted = [
                permission
                for permission in stack.of_type("AWS::Lambda::Permission").values()
                if permission["Principal"] == "s3.amazonaws.com"
                and fnmatch.fnmatchcase(stack.arn(name), stack.resolve(permission["SourceArn"]))
            ]
            assert permitted, f"{name}: S3 may not invoke the function"


def test_queries_of_the_lake_are_limited_and_their_results_are_encrypted_outside_of_the_events(stack):
    for name, group in stack.of_type("AWS::Athena::WorkGroup").items():
        settings = group["WorkGroupConfiguration"]
        assert settings["EnforceWorkGroupConfiguration"] is True, name
        assert settings["BytesScannedCutoffPerQuery"] > 0, name
        results = stack.resolve(settings["ResultConfiguration"])
        (bucket,) = [stack.resolve({"Ref": each}) for each in stack.of_type("AWS::S3::Bucket")]
        assert results["OutputLocation"] == f"s3://{bucket}/queries/", name
        assert results["EncryptionConfiguration"]["EncryptionOption"] in {"SSE_S3", "SSE_KMS"}, name
