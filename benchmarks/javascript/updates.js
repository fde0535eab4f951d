// A materialize rule. The table answers later, so as many calls wait at once as `parallel` says.
'use strict';

const {
  defaultOptions, fromKinesis, initialize, initializeFrom, materialize, timestampCondition, updateExpression,
} = require('aws-lambda-stream');

const toUpdateRequest = ({ event }) => ({
  Key: { pk: event.story.id, sk: 'story' },
  ...updateExpression({ title: event.story.title, text: event.story.text, timestamp: event.timestamp }),
  ...timestampCondition(),
});

const rules = [{
  id: 'view', flavor: materialize, eventType: 'thing-0', toUpdateRequest, parallel: 16,
}];

module.exports = (event) => initialize(initializeFrom(rules), defaultOptions)
  .assemble(fromKinesis(event))
  .filter((uow) => uow.updateResponse)
  .collect()
  .toPromise(Promise)
  .then((uows) => uows.length);
