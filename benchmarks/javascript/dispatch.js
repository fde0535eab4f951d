// Eight rules of a flavor that calls the business logic. The library has none, so this follows its own flavors.
'use strict';

const {
  defaultOptions, faulty, filterOnContent, filterOnEventType, fromKinesis, initialize, initializeFrom, outSkip,
  printEndPipeline, printStartPipeline,
} = require('aws-lambda-stream');

const RULES = 8;

const task = (rule) => (s) => s
  .filter(outSkip)
  .filter(faulty((uow) => filterOnEventType(rule, uow)))
  .tap(printStartPipeline)
  .filter(faulty((uow) => filterOnContent(rule, uow)))
  .map(faulty((uow) => ({ ...uow, result: rule.execute(uow, rule) })))
  .tap(printEndPipeline);

const businessLogic = (event) => ({ id: event.story.id, score: event.story.score });

const rules = Array.from({ length: RULES }, (_, number) => ({
  id: `rule-${number}`,
  flavor: task,
  eventType: `thing-${number}`,
  execute: (uow) => businessLogic(uow.event),
}));

module.exports = (event) => initialize(initializeFrom(rules), defaultOptions)
  .assemble(fromKinesis(event))
  .filter((uow) => uow.result)
  .collect()
  .toPromise(Promise)
  .then((uows) => uows.length);
