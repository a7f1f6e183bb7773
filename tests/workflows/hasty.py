"""A change to a workflow as nobody should make it."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.remediation.types import Alert
    from workflows.remediation.workflow import RemediationWorkflow


@workflow.defn(name="remediation")
class Hasty(RemediationWorkflow):
    """Remediation by somebody who puts a pause before everything, and thinks of no workflow that runs."""

    @workflow.init
    def __init__(self, alert: Alert) -> None:
        super().__init__(alert)

    @workflow.run
    async def run(self, alert: Alert) -> None:
        """Wait, then do as before."""
        await workflow.sleep(1)
        await super().run(alert)
