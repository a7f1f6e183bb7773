"""Search attributes of remediations: on call, one looks for a tenant, a rule or a severity in Temporal's UI."""

import logging

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from schemas.transitions import Transition

TENANT = SearchAttributeKey.for_keyword("HeadraceTenant")
RULE = SearchAttributeKey.for_keyword("HeadraceRule")
SEVERITY = SearchAttributeKey.for_keyword("HeadraceSeverity")

_REFUSED = {
    RPCStatusCode.PERMISSION_DENIED,
    RPCStatusCode.UNIMPLEMENTED,
    RPCStatusCode.INVALID_ARGUMENT,
    RPCStatusCode.FAILED_PRECONDITION,
}
_log = logging.getLogger(__name__)


async def put_right(client: Client) -> bool:
    """Make the attributes, or find them there; False where the server lets nobody make any.

    Safe to repeat. Raises RPCError while Temporal is away.
    """
    request = AddSearchAttributesRequest(namespace=client.namespace)
    for key in (TENANT, RULE, SEVERITY):
        request.search_attributes[key.name] = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    try:
        await client.operator_service.add_search_attributes(request)
    except RPCError as error:
        if error.status == RPCStatusCode.ALREADY_EXISTS:
            return True
        if error.status not in _REFUSED:
            raise
        _log.warning(
            "Temporal makes no search attributes for us: remediations can't be searched by tenant, rule "
            "and severity in its UI. Make HeadraceTenant, HeadraceRule and HeadraceSeverity (Keyword): %s",
            error,
        )
        return False
    return True


def attributes(transition: Transition) -> TypedSearchAttributes:
    """Of the alert that a transition is of."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(TENANT, str(transition.tenant_id)),
            SearchAttributePair(RULE, transition.rule),
            SearchAttributePair(SEVERITY, transition.level),
        ]
    )
