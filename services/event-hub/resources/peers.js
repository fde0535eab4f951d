'use strict';

// Resources of the lists in params, with their alarms: enhanced fan-out consumers of the stream, and the accounts whose
// hubs exchange events with this one. A list may also be given comma-separated with --param.

const { expand } = require('./alarms.js');

const listOf = (value) =>
  (Array.isArray(value) ? value : String(value ?? '').split(',')).map((each) => String(each).trim()).filter(Boolean);

const logicalId = (name) =>
  name
    .split(/[^A-Za-z0-9]+/)
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');

const ACCOUNT = /^\d{12}$/;
// A rule keeps what begins with it off the stream, and `streamctl lake replay` off streams and functions.
const EXTERNAL = /^external(\.[A-Za-z0-9._-]+)?$/;

const accountsOf = (values, param) => {
  const wrong = values.filter((account) => !ACCOUNT.test(account));
  if (wrong.length) throw new Error(`param ${param}: ${wrong.join(', ')} is no account id of 12 digits`);
  return values;
};

// The sources of each account of `account:source` entries. A source is of one account: no other can pass for it.
const sourcesOf = (entries, own) => {
  const sources = {};
  const owners = { [own]: 'this hub, by its param externalSource' };
  for (const entry of entries) {
    const [account, source, ...rest] = entry.split(':').map((part) => part.trim());
    if (rest.length || !ACCOUNT.test(account) || !EXTERNAL.test(source ?? '')) {
      throw new Error(
        `param ingressAccounts: ${entry} is not an account id of 12 digits, a colon and a source such as external.orders`,
      );
    }
    if ((owners[source] ?? account) !== account) {
      throw new Error(`param ingressAccounts: ${source} is the source of ${owners[source]} and of ${account}`);
    }
    owners[source] = account;
    (sources[account] ??= []).push(source);
  }
  return sources;
};

const consumers = (names) =>
  names.map((name) => {
    const id = logicalId(name);
    return {
      Resources: {
        [`Stream1Consumer${id}`]: {
          Type: 'AWS::Kinesis::StreamConsumer',
          Properties: { ConsumerName: name, StreamARN: { 'Fn::GetAtt': ['Stream1', 'Arn'] } },
        },
      },
      alarms: {
        [`Stream1Consumer${id}Age`]: {
          name: `s1-age-of-${name}`,
          description: `${name} lags so far behind that records may expire before it reads them`,
          Namespace: 'AWS/Kinesis',
          MetricName: 'SubscribeToShardEvent.MillisBehindLatest',
          Dimensions: { StreamName: { Ref: 'Stream1' }, ConsumerName: name },
          Statistic: 'Maximum',
          EvaluationPeriods: 3,
          Threshold: 3600000,
        },
      },
      Outputs: {
        [`stream1Consumer${id}Arn`]: {
          Description: `ARN of the enhanced fan-out consumer ${name}`,
          Value: { Ref: `Stream1Consumer${id}` },
        },
      },
    };
  });

// What an account may put on the bus: its own sources and no fault. Both keys hold the values of all entries of a call,
// and ForAllValues is true without any, hence Null (service authorization reference, "Condition keys for Amazon
// EventBridge"; IAM user guide, "Multivalued context keys"). A rule that sends to this bus keeps the event's source.
const ingress = (sources) =>
  Object.entries(sources).map(([account, own]) => ({
    Resources: {
      [`Ingress${account}`]: {
        Type: 'AWS::Events::EventBusPolicy',
        Properties: {
          EventBusName: { Ref: 'Bus' },
          StatementId: `ingress-${account}`,
          Statement: {
            Effect: 'Allow',
            Principal: { AWS: { 'Fn::Sub': `arn:\${AWS::Partition}:iam::${account}:root` } },
            Action: 'events:PutEvents',
            Resource: { 'Fn::GetAtt': ['Bus', 'Arn'] },
            Condition: {
              'ForAllValues:StringEquals': { 'events:source': own },
              'ForAllValues:StringNotEqualsIgnoreCase': { 'events:detail-type': 'fault' },
              Null: { 'events:source': 'false', 'events:detail-type': 'false' },
            },
          },
        },
      },
    },
  }));

// One rule for each account, because a rule has five targets at most (EventBridge API reference, PutTargets).
const egressRule = (account, source, prefix) => ({
  Resources: {
    [`EgressRule${account}`]: {
      Type: 'AWS::Events::Rule',
      Properties: {
        Name: `${prefix}-egress-${account}`,
        Description: `What services of this account publish as external, to the hub of ${account}`,
        EventBusName: { Ref: 'Bus' },
        State: 'ENABLED',
        // Events from other hubs are not sent on, which would be a loop.
        EventPattern: {
          account: [{ Ref: 'AWS::AccountId' }],
          source: [source],
          'detail-type': [{ 'anything-but': 'fault' }],
        },
        Targets: [
          {
            Id: 'hub',
            Arn: busOf(account, prefix),
            RoleArn: { 'Fn::GetAtt': ['EgressRole', 'Arn'] },
            RetryPolicy: { MaximumEventAgeInSeconds: 86400, MaximumRetryAttempts: 185 },
            DeadLetterConfig: { Arn: { 'Fn::GetAtt': ['EgressDeadLetters', 'Arn'] } },
          },
        ],
      },
    },
  },
  alarms: {
    [`Egress${account}Failed`]: {
      failedInvocations: `egress-${account}`,
      name: `egress-failed-invocations-of-${account}`,
      description: `Events do not reach the hub of ${account}; see its policy and the role of the rule`,
    },
  },
});

const busOf = (account, prefix) => ({
  'Fn::Sub': `arn:\${AWS::Partition}:events:\${AWS::Region}:${account}:event-bus/${prefix}-bus`,
});

// By name, as a reference would be circular: the rule refers to the role.
const ruleOf = (account, prefix) => ({
  'Fn::Sub': `arn:\${AWS::Partition}:events:\${AWS::Region}:\${AWS::AccountId}:rule/${prefix}-bus/${prefix}-egress-${account}`,
});

const egress = (accounts, source, prefix, deletionPolicy) => {
  if (!accounts.length) return [];
  return [
    ...accounts.map((account) => egressRule(account, source, prefix)),
    {
      Resources: {
        EgressRole: {
          Type: 'AWS::IAM::Role',
          Properties: {
            AssumeRolePolicyDocument: {
              Version: '2012-10-17',
              Statement: [
                {
                  Effect: 'Allow',
                  Principal: { Service: 'events.amazonaws.com' },
                  Action: 'sts:AssumeRole',
                  Condition: {
                    StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } },
                    ArnEquals: { 'aws:SourceArn': accounts.map((account) => ruleOf(account, prefix)) },
                  },
                },
              ],
            },
            Policies: [
              {
                PolicyName: 'egress',
                PolicyDocument: {
                  Version: '2012-10-17',
                  Statement: [
                    {
                      Effect: 'Allow',
                      Action: 'events:PutEvents',
                      Resource: accounts.map((account) => busOf(account, prefix)),
                    },
                  ],
                },
              },
            ],
          },
        },
        EgressDeadLetters: {
          Type: 'AWS::SQS::Queue',
          DeletionPolicy: deletionPolicy,
          UpdateReplacePolicy: deletionPolicy,
          Properties: {
            QueueName: `${prefix}-egress-dead-letters`,
            MessageRetentionPeriod: 1209600,
            SqsManagedSseEnabled: true,
          },
        },
        EgressDeadLettersPolicy: {
          Type: 'AWS::SQS::QueuePolicy',
          Properties: {
            Queues: [{ Ref: 'EgressDeadLetters' }],
            PolicyDocument: {
              Version: '2012-10-17',
              Statement: [
                {
                  Sid: 'DeadLettersOfTheRules',
                  Effect: 'Allow',
                  Principal: { Service: 'events.amazonaws.com' },
                  Action: 'sqs:SendMessage',
                  Resource: { 'Fn::GetAtt': ['EgressDeadLetters', 'Arn'] },
                  Condition: {
                    ArnEquals: {
                      'aws:SourceArn': accounts.map((account) => ({ 'Fn::GetAtt': [`EgressRule${account}`, 'Arn'] })),
                    },
                  },
                },
              ],
            },
          },
        },
      },
      alarms: {
        EgressDeadLetters: {
          messages: 'EgressDeadLetters',
          description: 'Events for the hubs of other accounts could not be delivered; they are in their queue',
        },
      },
    },
  ];
};

module.exports = async ({ resolveVariable }) => {
  const list = async (name) => listOf(await resolveVariable(`param:${name}`));
  const prefix = `${await resolveVariable('self:service')}-${await resolveVariable('sls:stage')}`;
  const source = await resolveVariable('param:externalSource');
  if (!EXTERNAL.test(source)) throw new Error(`param externalSource: ${source} is not a source such as external.orders`);
  const receivers = accountsOf(await list('egressAccounts'), 'egressAccounts');
  const parts = [
    ...consumers(await list('consumers')),
    ...ingress(sourcesOf(await list('ingressAccounts'), source)),
    ...egress(receivers, source, prefix, await resolveVariable('param:deletionPolicy')),
  ];
  const all = (field) => Object.assign({}, ...parts.map((part) => part[field]));
  return {
    Resources: { ...all('Resources'), ...(await expand(all('alarms'), resolveVariable)) },
    Outputs: all('Outputs'),
  };
};
