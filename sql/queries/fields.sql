-- Which fields PSPs send: written and asked by workers when they meet a shape of event that is new to them.

-- name: notice_fields
-- Records fields of shapes, and tells which of the absent ones earlier events had; new ones are to be alarmed.
WITH told AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[])
        AS t (source, event_type, api_version, field, present)
), added AS (
    INSERT INTO event_field (source, event_type, field, api_version, present, lost)
    SELECT DISTINCT t.source, t.event_type, t.field, t.api_version, t.present,
           NOT t.present AND (
               EXISTS (SELECT FROM event_field f WHERE f.source = t.source AND f.event_type = t.event_type
                       AND f.field = t.field AND f.present)
               OR EXISTS (SELECT FROM told u WHERE u.source = t.source AND u.event_type = t.event_type
                          AND u.field = t.field AND u.present))
    FROM told t
    ORDER BY t.source, t.event_type, t.field, t.api_version, t.present
    ON CONFLICT DO NOTHING
    RETURNING source, event_type, api_version, field, lost
)
SELECT source, event_type, api_version, field, true AS is_new FROM added WHERE lost
UNION ALL
SELECT f.source, f.event_type, f.api_version, f.field, false
FROM told t
JOIN event_field f USING (source, event_type, api_version, field, present)
WHERE f.lost
ORDER BY 1, 2, 3, 4;
