'use strict';

// Plugin of the Serverless CLI: what an account wants of every stack. With the param kmsKeyArn every resource that keeps
// data is encrypted with that key, and every role may use it for what the role does. With the param logDataProtection
// CloudWatch masks these data identifiers in every log group. With the param permissionsBoundary that policy bounds every
// role. Without them it changes nothing.
// It works on the compiled template, so it reaches what the CLI itself makes: functions, their logs, mappings, buckets.
// This file is the same in every service, because a service is copied alone.

// The properties of each type that name the key; the README of event-hub has the statements of the key's policy.
const ENCRYPTED = {
  'AWS::Athena::WorkGroup': (key, { WorkGroupConfiguration }) => {
    WorkGroupConfiguration.ResultConfiguration.EncryptionConfiguration = { EncryptionOption: 'SSE_KMS', KmsKey: key };
  },
  'AWS::DynamoDB::Table': (key, table) => {
    table.SSESpecification = { SSEEnabled: true, SSEType: 'KMS', KMSMasterKeyId: key };
  },
  'AWS::Events::Archive': (key, archive) => {
    archive.KmsKeyIdentifier = key;
  },
  'AWS::Events::EventBus': (key, bus) => {
    bus.KmsKeyIdentifier = key;
    bus.DeadLetterConfig = { Arn: { 'Fn::GetAtt': ['DeadLetterQueue', 'Arn'] } }; // for events that the key fails for
  },
  'AWS::Kinesis::Stream': (key, stream) => {
    stream.StreamEncryption = { EncryptionType: 'KMS', KeyId: key };
  },
  'AWS::KinesisFirehose::DeliveryStream': (key, delivery) => {
    delivery.DeliveryStreamEncryptionConfigurationInput = { KeyType: 'CUSTOMER_MANAGED_CMK', KeyARN: key };
    delivery.ExtendedS3DestinationConfiguration.EncryptionConfiguration = {
      KMSEncryptionConfig: { AWSKMSKeyARN: key },
    };
  },
  'AWS::Lambda::EventSourceMapping': (key, mapping) => {
    if (mapping.FilterCriteria) mapping.KmsKeyArn = key;
  },
  'AWS::Lambda::Function': (key, lambda) => {
    lambda.KmsKeyArn = key; // of its environment
    lambda.Code.SourceKMSKeyArn = key;
  },
  'AWS::Logs::LogGroup': (key, group) => {
    group.KmsKeyId = key;
  },
  'AWS::Pipes::Pipe': (key, pipe) => {
    pipe.KmsKeyIdentifier = key;
  },
  'AWS::S3::Bucket': (key, bucket) => {
    const withKey = { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: key };
    bucket.BucketEncryption = {
      ServerSideEncryptionConfiguration: [{ ServerSideEncryptionByDefault: withKey, BucketKeyEnabled: true }],
    };
  },
  'AWS::SNS::Topic': (key, topic) => {
    topic.KmsMasterKeyId = key;
  },
  'AWS::SQS::Queue': (key, queue) => {
    delete queue.SqsManagedSseEnabled;
    queue.KmsMasterKeyId = key;
  },
  'AWS::Scheduler::Schedule': (key, schedule) => {
    schedule.KmsKeyArn = key;
  },
  'AWS::SecretsManager::Secret': (key, secret) => {
    secret.KmsKeyId = key;
  },
};

// What an action on an encrypted resource needs of its key (the chapter on encryption in each service's guide).
const USES = [
  [/^(dynamodb:|kinesis:GetRecords|kinesis:SubscribeToShard|s3:GetObject|sqs:ReceiveMessage)/, ['kms:Decrypt']],
  [/^(secretsmanager:GetSecretValue|ssm:GetParameter)/, ['kms:Decrypt']],
  [/^kinesis:PutRecord/, ['kms:GenerateDataKey']],
  [/^(firehose:PutRecord|s3:PutObject|sns:Publish|sqs:SendMessage)/, ['kms:Decrypt', 'kms:GenerateDataKey']],
];

const usesOf = (role) => {
  const actions = role.Policies.flatMap(({ PolicyDocument }) => PolicyDocument.Statement).flatMap(({ Action }) => Action);
  return [...new Set(actions.flatMap((action) => USES.flatMap(([of, uses]) => (of.test(action) ? uses : []))))].sort();
};

const encrypt = (resources, key) => {
  if (!/^arn:[\w-]+:kms:[\w-]+:\d{12}:key\/[\w-]+$/.test(key)) {
    throw new Error(`param kmsKeyArn: ${key} is not the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>)`);
  }
  for (const { Type, Properties } of Object.values(resources)) {
    if (Type === 'AWS::EventSchemas::Discoverer') {
      throw new Error('param kmsKeyArn: EventBridge discovers no schemas on an encrypted bus; set schemaDiscovery=disabled');
    }
    ENCRYPTED[Type]?.(key, Properties);
    if (Type === 'AWS::IAM::Role' && usesOf(Properties).length) {
      const use = { Effect: 'Allow', Action: usesOf(Properties), Resource: key };
      Properties.Policies[0].PolicyDocument.Statement.push(use);
    }
  }
  // A key of the stack's own that nothing uses any more.
  for (const [id, { Type }] of Object.entries(resources)) {
    if (Type === 'AWS::KMS::Key' && !JSON.stringify(resources).includes(`{"Ref":"${id}"}`)) delete resources[id];
  }
};

// CloudWatch Logs user guide, "Help protect sensitive log data with masking": both statements have the same identifiers.
const mask = (resources, identifiers) => {
  const wrong = identifiers.filter((each) => !/^[A-Za-z][A-Za-z0-9-]*$/.test(each));
  if (wrong.length) throw new Error(`param logDataProtection: ${wrong.join(', ')} is no data identifier, such as EmailAddress`);
  const arn = (each) => ({ 'Fn::Sub': `arn:\${AWS::Partition}:dataprotection::aws:data-identifier/${each}` });
  const statement = (Sid, Operation) => ({ Sid, DataIdentifier: identifiers.map(arn), Operation });
  for (const { Type, Properties } of Object.values(resources)) {
    if (Type === 'AWS::Logs::LogGroup') {
      Properties.DataProtectionPolicy = {
        Name: 'data-protection-policy',
        Version: '2021-06-01',
        Statement: [
          statement('audit', { Audit: { FindingsDestination: {} } }),
          statement('redact', { Deidentify: { MaskConfig: {} } }),
        ],
      };
    }
  }
};

const listOf = (value) =>
  (Array.isArray(value) ? value : String(value ?? '').split(',')).map((each) => String(each).trim()).filter(Boolean);

// IAM user guide, "Permissions boundaries for IAM entities".
const bound = (resources, policy) => {
  if (!/^arn:[\w-]+:iam::(\d{12}|aws):policy\/[\w+=,.@/-]+$/.test(policy)) {
    throw new Error(`param permissionsBoundary: ${policy} is not the ARN of a policy (arn:aws:iam::<account>:policy/<name>)`);
  }
  for (const { Type, Properties } of Object.values(resources)) {
    if (Type === 'AWS::IAM::Role') Properties.PermissionsBoundary = policy;
  }
};

module.exports = class Protection {
  constructor(serverless) {
    this.hooks = {
      'after:aws:package:finalize:mergeCustomProviderResources': () => {
        const { kmsKeyArn, logDataProtection, permissionsBoundary } = serverless.service.custom.protection;
        const { Resources } = serverless.service.provider.compiledCloudFormationTemplate;
        const identifiers = listOf(logDataProtection);
        if (kmsKeyArn) encrypt(Resources, kmsKeyArn);
        if (identifiers.length) mask(Resources, identifiers);
        if (permissionsBoundary) bound(Resources, permissionsBoundary);
      },
    };
  }
};
