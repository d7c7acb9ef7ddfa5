-- Which fields PSPs send: written and asked by workers when they meet a shape of event that is new to them.

-- name: notice_fields
-- Records fields of shapes, and tells which of the absent ones earlier events had; new ones are to be alarmed. One version of an
-- API sends what it sends, so there what is absent sometimes may be absent; where a PSP tells no version, any loss is one.
WITH told AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[])
        AS t (source, event_type, api_version, field, present)
), had AS (
    SELECT f.source, f.event_type, f.field, f.api_version FROM event_field f JOIN told t USING (source, event_type, field)
    WHERE f.present
    UNION SELECT source, event_type, field, api_version FROM told WHERE present
), added AS (
    INSERT INTO event_field (source, event_type, field, api_version, present, lost)
    SELECT t.source, t.event_type, t.field, t.api_version, t.present,
           NOT t.present AND coalesce(bool_and(h.api_version <> t.api_version OR t.api_version = ''), false)
    FROM told t LEFT JOIN had h USING (source, event_type, field)
    GROUP BY t.source, t.event_type, t.field, t.api_version, t.present
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
