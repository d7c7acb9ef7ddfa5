-- The transition tables of `billing` as rows, so that the journal can be checked against them in SQL. A test compares
-- the two; a table that changes brings a migration that changes its rows.

CREATE TABLE allowed_transition (
    kind text NOT NULL,
    from_state text,                     -- NULL: the object becomes known
    to_state text NOT NULL
);
CREATE UNIQUE INDEX allowed_transition_once ON allowed_transition (kind, coalesce(from_state, ''), to_state);

-- The rule under which a kind follows its PSP's word beyond its table; without a row it never does.
CREATE TABLE correction_rule (
    kind text PRIMARY KEY,
    rule text NOT NULL
);

INSERT INTO allowed_transition (kind, from_state, to_state) VALUES
    ('account', NULL, 'open'),
    ('checkout_session', NULL, 'open'), ('checkout_session', NULL, 'paid'),
    ('checkout_session', 'open', 'paid'), ('checkout_session', 'open', 'expired'),
    ('checkout_session', 'open', 'failed'),
    ('checkout_session', 'expired', 'paid'),
    ('checkout_session', 'failed', 'paid'),
    ('refund', NULL, 'pending'), ('refund', NULL, 'requires_action'), ('refund', NULL, 'succeeded'),
    ('refund', NULL, 'failed'), ('refund', NULL, 'canceled'),
    ('refund', 'pending', 'requires_action'), ('refund', 'pending', 'succeeded'), ('refund', 'pending', 'failed'),
    ('refund', 'pending', 'canceled'),
    ('refund', 'requires_action', 'succeeded'), ('refund', 'requires_action', 'failed'),
    ('refund', 'requires_action', 'canceled'),
    ('refund', 'succeeded', 'failed'), ('refund', 'succeeded', 'canceled'),
    ('dispute', NULL, 'warning_needs_response'), ('dispute', NULL, 'warning_under_review'),
    ('dispute', NULL, 'warning_closed'), ('dispute', NULL, 'needs_response'), ('dispute', NULL, 'under_review'),
    ('dispute', NULL, 'prevented'), ('dispute', NULL, 'lost'), ('dispute', NULL, 'won'),
    ('dispute', 'warning_needs_response', 'warning_needs_response'),
    ('dispute', 'warning_under_review', 'warning_under_review'),
    ('dispute', 'warning_closed', 'warning_closed'),
    ('dispute', 'needs_response', 'needs_response'),
    ('dispute', 'under_review', 'under_review'),
    ('dispute', 'prevented', 'prevented'),
    ('dispute', 'lost', 'lost'),
    ('dispute', 'won', 'won'),
    ('dispute', 'warning_needs_response', 'warning_under_review'),
    ('dispute', 'warning_needs_response', 'warning_closed'), ('dispute', 'warning_needs_response', 'needs_response'),
    ('dispute', 'warning_needs_response', 'under_review'), ('dispute', 'warning_needs_response', 'lost'),
    ('dispute', 'warning_needs_response', 'won'),
    ('dispute', 'warning_under_review', 'warning_closed'), ('dispute', 'warning_under_review', 'needs_response'),
    ('dispute', 'warning_under_review', 'under_review'), ('dispute', 'warning_under_review', 'lost'),
    ('dispute', 'warning_under_review', 'won'),
    ('dispute', 'needs_response', 'under_review'), ('dispute', 'needs_response', 'prevented'),
    ('dispute', 'needs_response', 'lost'), ('dispute', 'needs_response', 'won'),
    ('dispute', 'under_review', 'lost'), ('dispute', 'under_review', 'won'),
    ('dispute', 'lost', 'won'),
    ('subscription', NULL, 'pending_payment'), ('subscription', NULL, 'trialing'), ('subscription', NULL, 'active'),
    ('subscription', NULL, 'past_due'), ('subscription', NULL, 'suspended'), ('subscription', NULL, 'expired'),
    ('subscription', NULL, 'canceled'),
    ('subscription', 'pending_payment', 'active'), ('subscription', 'pending_payment', 'trialing'),
    ('subscription', 'pending_payment', 'expired'), ('subscription', 'pending_payment', 'canceled'),
    ('subscription', 'trialing', 'active'), ('subscription', 'trialing', 'past_due'),
    ('subscription', 'trialing', 'suspended'), ('subscription', 'trialing', 'canceled'),
    ('subscription', 'active', 'trialing'), ('subscription', 'active', 'past_due'),
    ('subscription', 'active', 'suspended'), ('subscription', 'active', 'expired'),
    ('subscription', 'active', 'canceled'),
    ('subscription', 'past_due', 'active'), ('subscription', 'past_due', 'trialing'),
    ('subscription', 'past_due', 'suspended'), ('subscription', 'past_due', 'canceled'),
    ('subscription', 'suspended', 'active'), ('subscription', 'suspended', 'trialing'),
    ('subscription', 'suspended', 'past_due'), ('subscription', 'suspended', 'canceled'),
    ('subscription', 'expired', 'active'),
    ('subscription_invoice', NULL, 'draft'), ('subscription_invoice', NULL, 'open'),
    ('subscription_invoice', NULL, 'uncollectible'), ('subscription_invoice', NULL, 'void'),
    ('subscription_invoice', NULL, 'paid'),
    ('subscription_invoice', 'draft', 'open'), ('subscription_invoice', 'draft', 'paid'),
    ('subscription_invoice', 'draft', 'void'),
    ('subscription_invoice', 'open', 'paid'), ('subscription_invoice', 'open', 'uncollectible'),
    ('subscription_invoice', 'open', 'void'),
    ('subscription_invoice', 'uncollectible', 'paid'), ('subscription_invoice', 'uncollectible', 'void');

INSERT INTO correction_rule (kind, rule) VALUES
    ('dispute', 'dispute_corrected'),
    ('subscription', 'status_corrected'),
    ('subscription_invoice', 'status_corrected');
