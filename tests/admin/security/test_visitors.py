"""What a route asks of the one who calls it."""

from __future__ import annotations

from fastapi.params import Depends

from wanesync.admin.security.permissions import Permission
from wanesync.admin.security.visitors import Visitor, find_permission, require
from wanesync.core.operating.operators import Operator, OperatorRole, Via


def test_a_visitor_is_the_operator_of_what_is_changed() -> None:
    visitor = Visitor("anna", OperatorRole.OPERATOR, Via.API)
    assert visitor.operator == Operator("anna", Via.API)
    assert visitor.may(Permission.RETRY)
    assert visitor.may("retry")
    assert not visitor.may(Permission.USERS)
    assert visitor.mask("email", "anna@example.com") == "a•••@e•••.com"


def test_the_secrets_of_a_visitor_are_not_shown() -> None:
    assert "token" not in repr(Visitor("anna", OperatorRole.ADMIN, Via.PAGE, csrf="token"))


def test_the_permission_of_a_dependency_can_be_read() -> None:
    required = require(Permission.USERS)
    assert isinstance(required, Depends)
    assert find_permission(required.dependency) is Permission.USERS
    assert find_permission(len) is None
    assert find_permission(None) is None
