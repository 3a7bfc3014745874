-- Floor: events into a history by event time. Each beside the newest of its key by one hash join, the late ones looked up
-- one by one; corrections are left out, since this reading has none.
\if :{?src} \else \set src raw.events \endif
SET client_min_messages = warning;
\set hash 'sha256(record_send(ROW(n.label, trim_scale(n.price))))'
DROP TABLE IF EXISTS fl.n;
BEGIN;
LOCK TABLE fl.h IN SHARE ROW EXCLUSIVE MODE;
CREATE UNLOGGED TABLE fl.n AS
SELECT s.*, lead(s.at) OVER w AS nt, lag(s.at) OVER w AS pt, c.ctid AS c_ctid, c.valid_from AS c_vf
  FROM (SELECT DISTINCT ON (k, at) * FROM :src ORDER BY k, at) s LEFT JOIN fl.h c ON c.k = s.k AND c.is_current
 WHERE c.k IS NULL OR s.at <> c.valid_from OR s.price IS DISTINCT FROM c.price OR s.label IS DISTINCT FROM c.label
WINDOW w AS (PARTITION BY s.k ORDER BY s.at);
UPDATE fl.h t SET valid_to = n.at, is_current = false FROM fl.n n
 WHERE t.ctid = n.c_ctid AND n.at > n.c_vf AND (n.pt IS NULL OR n.pt <= n.c_vf);
UPDATE fl.h t SET valid_to = p.nt FROM (
  SELECT pr.c, min(n.at) AS nt FROM fl.n n CROSS JOIN LATERAL
    (SELECT h.ctid AS c FROM fl.h h WHERE h.k = n.k AND h.valid_from < n.at ORDER BY h.valid_from DESC LIMIT 1) pr
   WHERE n.at < n.c_vf GROUP BY pr.c) p
 WHERE t.ctid = p.c;
INSERT INTO fl.h
SELECT n.k, n.at, n.price, n.label, false, n.at, n.nt, n.nt IS NULL, :hash, 2 FROM fl.n n WHERE n.c_vf IS NULL OR n.at > n.c_vf;
INSERT INTO fl.h
SELECT n.k, n.at, n.price, n.label, false, n.at, least(n.nt, x.vf), false, :hash, 2
  FROM fl.n n LEFT JOIN LATERAL
    (SELECT h.valid_from AS vf FROM fl.h h WHERE h.k = n.k AND h.valid_from > n.at ORDER BY h.valid_from LIMIT 1) x ON true
 WHERE n.at < n.c_vf AND NOT EXISTS (SELECT 1 FROM fl.h h WHERE h.k = n.k AND h.valid_from = n.at);
DROP TABLE fl.n;
COMMIT;
