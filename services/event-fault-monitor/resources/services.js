'use strict';

// An alarm for each service of the param alarmedServices, a list or comma-separated; an empty list makes nothing.

const listOf = (value) =>
  (Array.isArray(value) ? value : String(value ?? '').split(',')).map((each) => String(each).trim()).filter(Boolean);

const logicalId = (name) =>
  name
    .split(/[^A-Za-z0-9]+/)
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');

module.exports = async ({ resolveVariable }) => {
  const services = listOf(await resolveVariable('param:alarmedServices'));
  const stage = await resolveVariable('sls:stage');
  const prefix = `${await resolveVariable('self:service')}-${stage}`;
  const namespace = await resolveVariable('self:custom.metricNamespace');
  const topic = await resolveVariable('self:custom.alarmTopicArn');
  return {
    Resources: Object.fromEntries(
      services.map((service) => [
        `FaultsOf${logicalId(service)}Alarm`,
        {
          Type: 'AWS::CloudWatch::Alarm',
          Properties: {
            AlarmName: `${prefix}-faults-of-${service}`,
            AlarmDescription: `${service} published faults; look at them with streamctl faults ls`,
            Namespace: namespace,
            MetricName: 'Faults',
            Dimensions: [
              { Name: 'Stage', Value: stage },
              { Name: 'Service', Value: service },
            ],
            Statistic: 'Sum',
            Period: 300,
            EvaluationPeriods: 1,
            Threshold: 0,
            ComparisonOperator: 'GreaterThanThreshold',
            TreatMissingData: 'notBreaching',
            AlarmActions: [topic],
            OKActions: [topic],
          },
        },
      ]),
    ),
  };
};
