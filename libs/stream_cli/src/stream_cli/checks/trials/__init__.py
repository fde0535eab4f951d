"""Functions tried with the fixtures of their service, in processes of their own, with AWS in memory.

fixtures    the fixtures of a function, in the order in which one needs the other
program     runs functions with fixtures, and answers with what they called, published and failed with
memory      AWS for that process: DynamoDB as the local cloud has it; other services take what they get
trial       what is known of a function when it has been tried twice; kept by the content that it depends on
"""
