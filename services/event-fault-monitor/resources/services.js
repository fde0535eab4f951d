'use strict';

// An alarm for each service in the param alarmedServices, a list or comma-separated.

const { expand } = require('./alarms.js');

const listOf = (value) =>
  (Array.isArray(value) ? value : String(value ?? '').split(',')).map((each) => String(each).trim()).filter(Boolean);

const logicalId = (name) =>
  name
    .split(/[^A-Za-z0-9]+/)
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');

module.exports = async ({ resolveVariable }) => {
  const stage = await resolveVariable('sls:stage');
  const entryOf = (service) => ({
    metric: 'Faults',
    name: `faults-of-${service}`,
    description: `${service} published faults; list them with streamctl faults ls`,
    Dimensions: { Stage: stage, Service: service },
  });
  const services = listOf(await resolveVariable('param:alarmedServices'));
  const entries = Object.fromEntries(services.map((service) => [`FaultsOf${logicalId(service)}`, entryOf(service)]));
  return { Resources: await expand(entries, resolveVariable) };
};
