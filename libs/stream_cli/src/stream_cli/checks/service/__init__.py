"""A service as the checks see it.

symbols, references           CloudFormation's values as texts that can be compared
resources, policies           mappings, functions, streams, queues, tables, topics; roles and what they allow
template                      the compiled template as these objects
serverless_events, imports    what the Serverless CLI compiles events to; stand-ins for other stacks' outputs
source_map                    the lines of serverless.yml
handlers, handler_probe,
rules_found                   the rules of the functions
record_shapes                 which records a rule handles, and whether a filter lets them through
impossible_patterns           why a pattern matches no record
rule_places                   where rules are written
needs                         what the flavors of rules need: settings, actions, resources
published                     the event types that services publish
packaged                      all of this as one `Service`
"""
