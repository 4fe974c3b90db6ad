-- How much an organisation's keys may do together, as operators set it: an object of limits, of which those that are
-- absent are none. Null where none has set any; then what the edges are configured with holds.
alter table orgs add column limits jsonb check (limits is null or jsonb_typeof(limits) = 'object');
