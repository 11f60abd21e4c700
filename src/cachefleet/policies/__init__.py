"""IAM policies: what a document says, and whether it lets a request pass. Pure; knows no operation and no resource by name."""
