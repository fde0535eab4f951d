"""Services as the Serverless CLI sees them: finding, packaging, deploying and removing them, and their stacks."""
