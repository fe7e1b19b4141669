STEP_DECORATORS_DESC = [("audited", ".audited.AuditedDecorator")]
