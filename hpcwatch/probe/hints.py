"""The types that a record's fields are annotated with."""

import sys
import typing
from typing import Any, Dict, Tuple

from .typed import meaning


def hints_of(record: Any, types: Dict[str, Any]) -> Dict[str, Any]:
    """Return the types of a record's fields by name, also of those written ``int | None``.

    ``types`` replaces the annotations of the fields that it names. Before Python 3.10 types have
    no ``|``; ``Union`` replaces it there.
    """
    if sys.version_info >= (3, 10):
        hints = dict(typing.get_type_hints(record), **types)
    else:
        known = dict(vars(sys.modules[record.__module__]), _Union=typing.Union)
        hints = dict(record.__annotations__, **types)
        for name, hint in hints.items():
            words = getattr(hint, "__forward_arg__", hint)
            if isinstance(words, str):
                code = compile(_without_bars(words), record.__module__, "eval")
                hints[name] = eval(code, known)  # noqa: S307 ours
    return {name: meaning(hint) for name, hint in hints.items()}


def _without_bars(words: str) -> Any:
    """Return the code of a type's words with ``A | B`` rewritten as ``_Union[A, B]``."""
    import ast  # takes longer to import than all of this module

    class Unions(ast.NodeTransformer):
        def visit_BinOp(self, node: ast.BinOp) -> ast.AST:  # noqa: N802 ast's name
            pair = ast.parse("_Union[0, 0]", mode="eval").body
            assert isinstance(pair, ast.Subscript)
            both: Any = pair.slice if hasattr(pair.slice, "elts") else pair.slice.value  # type: ignore[attr-defined]
            both.elts = [self.visit(node.left), self.visit(node.right)]
            return pair

    return ast.fix_missing_locations(Unions().visit(ast.parse(words, mode="eval")))


def optional(hint: Any) -> Any:
    """Return T for a value annotated ``Optional[T]``; None for any other."""
    arguments: Tuple[Any, ...] = getattr(hint, "__args__", None) or ()
    others = [argument for argument in arguments if argument is not type(None)]
    return others[0] if len(others) == 1 and len(arguments) == 2 else None
