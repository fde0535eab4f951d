"""What a stage consists of, as its stacks say: nodes, and the arrows between them.

`stacks` reads templates, with the names that resources have now, `choices` what they choose by conditions. `nodes` and
`arrows` have a line or a function for each type of resource; `writes` has what the roles of functions allow them to
write to; `untold` says why a target is not known. `drawing` puts them together.
"""
