"""Answers of IAM are XML whatever a tag, a description or a path says.

ministack writes these texts into its answers as they are. One role with a tag such as `a & b`, which CloudFormation may
give it from the tags of a stack, makes ListRoles an answer that no client can read.

ministack has `_xml_escape` and uses it for one element. Here its functions are compiled once more with it in each of
these elements, as a change of their source would have it. Policy documents are URL-encoded, as IAM does it.
"""

from __future__ import annotations

import ast
import inspect
import re

INTERNALS = {"ministack.services.iam": ("_xml_escape", "_IAM_HANDLERS", "_role_xml", "_list_role_tags", "_error")}

_TEXT = re.compile(r"<(Key|Value|Description|Path|Arn|Message)>\{([^{}]++)\}</")
"""An element of an f-string whose content callers give."""


def patch() -> None:
    """Escape the texts that callers give."""
    from ministack.services import iam

    before = inspect.getsource(iam)
    after = _TEXT.sub(r"<\1>{_xml_escape(\2)}</", before)
    lines = before.splitlines()
    changed = {n for n, line in enumerate(after.splitlines(), start=1) if line != lines[n - 1]}
    tree = ast.parse(after)
    tree.body = [
        each
        for each in tree.body
        if isinstance(each, ast.FunctionDef) and changed & set(range(each.lineno, (each.end_lineno or 0) + 1))
    ]
    exec(compile(tree, iam.__file__, "exec"), vars(iam))
    iam._IAM_HANDLERS.update({action: getattr(iam, each.__name__) for action, each in iam._IAM_HANDLERS.items()})
