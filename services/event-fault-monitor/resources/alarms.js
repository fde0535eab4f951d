'use strict';

// Expands resources/alarms.yml into CloudWatch alarms that notify custom.alarmTopicArn when they start and when they end.
// An entry has the alarm's logical id, its kind with what it watches, a description, and the properties of
// AWS::CloudWatch::Alarm that differ from those of the kind. Without a kind it gives its metric itself.
// This file is the same in every service, because a service is copied alone.

const onFunction = (name, MetricName) => ({
  Namespace: 'AWS/Lambda',
  MetricName,
  Dimensions: { FunctionName: { Ref: `${name.charAt(0).toUpperCase()}${name.slice(1)}LambdaFunction` } },
});

const KINDS = {
  // how far a function is behind its stream, in ms
  iteratorAge: (name) => ({
    name: `${name}-iterator-age`,
    description: `The ${name} lags behind its stream: it fails, is throttled or is too slow`,
    ...onFunction(name, 'IteratorAge'),
    Statistic: 'Maximum',
    Period: 60,
    EvaluationPeriods: 5,
    Threshold: 60000,
  }),
  // invocations of a function that failed
  errors: (name) => ({ description: `The ${name} fails`, ...onFunction(name, 'Errors') }),
  // messages in a queue that is empty while all is well, by its logical id
  messages: (queue) => ({
    Namespace: 'AWS/SQS',
    MetricName: 'ApproximateNumberOfMessagesVisible',
    Dimensions: { QueueName: { 'Fn::GetAtt': [queue, 'QueueName'] } },
    Statistic: 'Maximum',
  }),
  // events that a rule of the bus can neither deliver nor put into its dead-letter queue
  failedInvocations: (rule, { bus, prefix }) => ({
    name: 'failed-invocations',
    description: "Events reach neither the delivery stream nor the dead-letter queue; see the role and the queue's policy",
    Namespace: 'AWS/Events',
    MetricName: 'FailedInvocations',
    Dimensions: { EventBusName: bus, RuleName: `${prefix}-${rule}` },
  }),
  // the age of the oldest record in a delivery stream, in seconds
  freshness: (delivery) => ({
    description: 'Records have been waiting too long to be written to the bucket',
    Namespace: 'AWS/Firehose',
    MetricName: 'DeliveryToS3.DataFreshness',
    Dimensions: { DeliveryStreamName: { Ref: delivery } },
    Statistic: 'Maximum',
    EvaluationPeriods: 3,
  }),
  // a metric of this service
  metric: (MetricName, { service, stage }) => ({ Namespace: service, MetricName, Dimensions: { Stage: stage } }),
};

const alarm = (id, entry, stack) => {
  const kind = Object.keys(KINDS).find((each) => each in entry);
  const { [kind]: watched, ...own } = entry;
  const { name = id.replace(/\B[A-Z]/g, '-$&').toLowerCase(), description, Dimensions, ...properties } = {
    ...KINDS[kind]?.(watched, stack),
    ...own,
  };
  if (!Dimensions) throw new Error(`alarm ${id} has no kind (${Object.keys(KINDS).join(', ')}) and no Dimensions`);
  return {
    Type: 'AWS::CloudWatch::Alarm',
    Properties: {
      AlarmName: `${stack.prefix}-${name}`,
      AlarmDescription: description,
      Dimensions: Object.entries(Dimensions).map(([Name, Value]) => ({ Name, Value })),
      Statistic: 'Sum',
      Period: 300,
      EvaluationPeriods: 1,
      Threshold: 0,
      ComparisonOperator: 'GreaterThanThreshold',
      TreatMissingData: 'notBreaching',
      AlarmActions: [stack.topic],
      OKActions: [stack.topic],
      ...properties,
    },
  };
};

const expand = async (entries, resolveVariable) => {
  const [service, stage, topic, bus] = await Promise.all(
    ['self:service', 'sls:stage', 'self:custom.alarmTopicArn', 'self:custom.busName'].map(resolveVariable),
  );
  const stack = { service, stage, topic, bus, prefix: `${service}-${stage}` };
  return Object.fromEntries(Object.entries(entries).map(([id, entry]) => [`${id}Alarm`, alarm(id, entry, stack)]));
};

module.exports = async ({ resolveVariable }) => ({
  Resources: await expand(await resolveVariable('file(resources/alarms.yml)'), resolveVariable),
});
module.exports.expand = expand;
