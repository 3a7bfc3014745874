-- What the program whose metadata were of version 1 has left after two days of version_1.toml; its days are moved back.
CREATE SCHEMA analytics;
CREATE SCHEMA app;
CREATE SCHEMA ematix_flow;
CREATE TABLE analytics.customers(id BIGINT, "name" VARCHAR, city VARCHAR, valid_from TIMESTAMP WITH TIME ZONE NOT NULL, valid_to TIMESTAMP WITH TIME ZONE, is_current BOOLEAN NOT NULL, row_hash BLOB NOT NULL);
INSERT INTO analytics."customers" VALUES
	('1', 'Ada', 'Cambridge', '2026-02-01 01:29:06.54252+00', NULL, 'true', 'c`\xB9\xF9\xED\xED\xD4u$x\xCF\xF3\xDF\xE0\xAF\x92Z\x05v\xFA,\x1Cf\x07\x222\x93\xC2\xDD\xC4\xE6\xED'),
	('1', 'Ada', 'London', '2026-02-01 01:28:52.763431+00', '2026-02-01 01:29:06.54252+00', 'false', '\x19\xCAR\x16\x84\x9D\x9Br\xA7\xA8&-Bl\xD7\xEBq\x87\xFA\x98@\xA3\x10\xAE\x04\xAE\xCBIT\x92\xEA\x1C'),
	('2', 'Grace', 'New York', '2026-02-01 01:28:52.763431+00', NULL, 'true', '\x05\xE5n\xAD(\xC4]\x833\xC4\xBB\xB2\xAFC\x99\xBB2z|\xCC\x90\x15\xE2\x9A\xEBcT\x9A\xBC\x11\x1A<'),
	('3', 'Edsger', NULL, '2026-02-01 01:28:52.763431+00', NULL, 'true', '\xE2\xA0:Z0\x06\x87-z\xAF\x0F0)GL\x0E\xF9j)\x18\x04\x18zW\xA5\x95\xD5\x05\x1D\xA4\xD5X'),
	('4', 'Barbara', 'Boston', '2026-02-01 01:28:52.763431+00', '2026-02-01 01:29:06.54252+00', 'false', '\xC2\xF9\xCE\x18\xD6\x98\xD2\x197\xC5O\xF8P\x04\x83D-\xEB\x7F\x1Do\xA9\xAD\xE1t\xF4\xD6^X\x02\xAED'),
	('5', 'Alan', 'Manchester', '2026-02-01 01:29:06.54252+00', NULL, 'true', '\x1Ex\xAF`3\x5Cn\x0F\xDF\x88\xCA\x8D\xE9\x90\xB2H\x984\x1BI\xA01\x5C\xB6\xB0\xBA)\xCCL$\xDEU');
CREATE TABLE analytics.events(id BIGINT, kind VARCHAR, "at" TIMESTAMP WITH TIME ZONE, _loaded_at TIMESTAMP WITH TIME ZONE DEFAULT("system".main.now()), _batch_id UUID);
INSERT INTO analytics."events" VALUES
	('1', 'seen', '2026-01-01 10:00:00+00', '2026-02-01 01:28:57.002791+00', '01a22a11-be65-7471-947f-2409d73c5db8'),
	('2', 'bought', '2026-01-01 10:30:00+00', '2026-02-01 01:28:57.002791+00', '01a22a11-be65-7471-947f-2409d73c5db8'),
	('3', 'late', '2026-01-01 09:50:00+00', '2026-02-01 01:29:11.483183+00', '01a22a11-f74c-75bb-afdd-e2214456e475'),
	('4', 'bought', '2026-01-01 11:00:00+00', '2026-02-01 01:29:11.483183+00', '01a22a11-f74c-75bb-afdd-e2214456e475');
CREATE TABLE analytics.hourly(said VARCHAR, _loaded_at TIMESTAMP WITH TIME ZONE DEFAULT("system".main.now()), _batch_id UUID);
INSERT INTO analytics."hourly" VALUES
	('alive', '2026-02-01 01:29:04.058875+00', '01a22a11-de63-7473-9b9c-23384961f200');
CREATE TABLE analytics.orders(id BIGINT, amount DECIMAL(10,2), status VARCHAR, is_deleted BOOLEAN DEFAULT(false) NOT NULL);
INSERT INTO analytics."orders" VALUES
	('1', '10.00', 'paid', 'false'),
	('2', '20.50', 'open', 'false'),
	('3', NULL, 'paid', 'true');
CREATE TABLE analytics.prices(sku VARCHAR, price DECIMAL(10,2));
INSERT INTO analytics."prices" VALUES
	('ink', '3.00'),
	('pen', '1.75');
CREATE TABLE app.broken(id BIGINT, "name" VARCHAR);
INSERT INTO app."broken" VALUES
	('1', 'a'),
	('1', 'b');
CREATE TABLE app.customers(id BIGINT, "name" VARCHAR, city VARCHAR);
INSERT INTO app."customers" VALUES
	('1', 'Ada', 'Cambridge'),
	('2', 'Grace', 'New York'),
	('3', 'Edsger', NULL),
	('5', 'Alan', 'Manchester');
CREATE TABLE app.events(id BIGINT, kind VARCHAR, "at" TIMESTAMP WITH TIME ZONE);
INSERT INTO app."events" VALUES
	('1', 'seen', '2026-01-01 10:00:00+00'),
	('2', 'bought', '2026-01-01 10:30:00+00'),
	('3', 'late', '2026-01-01 09:50:00+00'),
	('4', 'bought', '2026-01-01 11:00:00+00');
CREATE TABLE app.orders(id BIGINT, amount DECIMAL(10,2), status VARCHAR);
INSERT INTO app."orders" VALUES
	('1', '10.00', 'paid'),
	('2', '20.50', 'open');
CREATE TABLE app.prices(sku VARCHAR, price DECIMAL(10,2));
INSERT INTO app."prices" VALUES
	('ink', '3.00'),
	('pen', '1.75');
CREATE TABLE ematix_flow.append_seen(pipeline_name VARCHAR, row_hash BLOB, wm_value VARCHAR, n BIGINT NOT NULL, PRIMARY KEY(pipeline_name, row_hash));
INSERT INTO ematix_flow."append_seen" VALUES
	('events', 'L\x16d\x9F\xC1h\xE2v\xE6\xF77z\xDE\xB4\x07!\xE9\x9Ef\xA6oO\xA0=m\xB4\x17#uTy\xFF', '2026-01-01 11:00:00+00', '1'),
	('events', '\x8F\xF7\x95\x8F\x95\x22\xB5\x9F}\xE49*\xD9\x5C\xE9\xEAt%g\xED>\xC6\xD6uR=\xC1\xFB\x9E\xBF\x1Fh', '2026-01-01 10:00:00+00', '1'),
	('events', '\xCA\x10\xB26\x16\xFF&V\xC8{\xA2\xD7\x0DW\x91\xF9\xFC\xFFFf\xECb\xF8\xE0\x01\xD1\xAD\x15\xF5\x17%\x16', '2026-01-01 10:30:00+00', '1');
CREATE TABLE ematix_flow.metadata("version" INTEGER NOT NULL, installed_at TIMESTAMP WITH TIME ZONE DEFAULT("system".main.now()) NOT NULL);
INSERT INTO ematix_flow."metadata" VALUES
	('1', '2026-02-01 01:28:52.717986+00');
CREATE TABLE ematix_flow.run_history(run_id UUID PRIMARY KEY, pipeline_name VARCHAR NOT NULL, started_at TIMESTAMP WITH TIME ZONE NOT NULL, ended_at TIMESTAMP WITH TIME ZONE, status VARCHAR NOT NULL, "error" VARCHAR, rows_in BIGINT, rows_inserted BIGINT, rows_updated BIGINT, rows_closed_out BIGINT, watermark_before VARCHAR, watermark_after VARCHAR, run_number BIGINT, committed_at TIMESTAMP WITH TIME ZONE, "committed" BOOLEAN DEFAULT(false) NOT NULL, rows_unchanged BIGINT, rows_deleted BIGINT, rows_deduplicated BIGINT, rows_skipped BIGINT, rows_rejected BIGINT, rows_rehashed BIGINT, "mode" VARCHAR, path VARCHAR, "target" VARCHAR NOT NULL, error_code VARCHAR, parent_run_id UUID, step_name VARCHAR, slot TIMESTAMP WITH TIME ZONE, attempt INTEGER DEFAULT(1) NOT NULL, lease_until TIMESTAMP WITH TIME ZONE, started_by VARCHAR, host VARCHAR, pid INTEGER, "version" VARCHAR);
INSERT INTO ematix_flow."run_history" VALUES
	('01a22a11-aeec-71d6-9099-9c9e49527e59', 'customers', '2026-02-01 01:28:52.746485+00', '2026-02-01 01:28:52.842+00', 'success', NULL, '4', '4', '0', '0', NULL, NULL, '1', '2026-02-01 01:28:52.847677+00', 'true', '0', '0', '0', '0', '0', '0', 'scd2', 'same_db', 'analytics.customers', NULL, NULL, NULL, NULL, '1', NULL, 'cli', 'loader', '32596', '0.1.0'),
	('01a22a11-b5d5-76d7-a134-3a0472cb5097', 'orders', '2026-02-01 01:28:54.627482+00', '2026-02-01 01:28:54.858+00', 'success', NULL, '3', '3', '0', '0', NULL, NULL, '1', '2026-02-01 01:28:54.871914+00', 'true', '0', '0', '0', '0', '0', '0', 'merge', 'same_db', 'analytics.orders', NULL, NULL, NULL, NULL, '1', NULL, 'cli', 'loader', '32716', '0.1.0'),
	('01a22a11-be65-7471-947f-2409d73c5db8', 'events', '2026-02-01 01:28:56.89573+00', '2026-02-01 01:28:57.575+00', 'success', NULL, '2', '2', '0', '0', NULL, '2026-01-01 10:30:00+00', '1', '2026-02-01 01:28:57.640351+00', 'true', '0', '0', '0', '0', '0', '0', 'append', 'same_db', 'analytics.events', NULL, NULL, NULL, NULL, '1', NULL, 'cli', 'loader', '339', '0.1.0'),
	('01a22a11-c951-766b-b14e-6d31f92bb3b9', 'prices', '2026-02-01 01:28:59.478122+00', '2026-02-01 01:28:59.811+00', 'success', NULL, '2', '2', '0', '0', NULL, NULL, '1', '2026-02-01 01:28:59.874911+00', 'true', '0', '0', '0', '0', '0', '0', 'truncate', 'same_db', 'analytics.prices', NULL, NULL, NULL, NULL, '1', NULL, 'cli', 'loader', '447', '0.1.0'),
	('01a22a11-d0f4-7628-9850-e512e9afb4c0', 'broken', '2026-02-01 01:29:01.622755+00', '2026-02-01 01:29:01.956368+00', 'refused', '1 key of `broken` comes more than once from the source
  id: 1 (2 rows)', '2', '0', '0', '0', NULL, NULL, NULL, NULL, 'false', '0', '0', '0', '0', '0', '0', 'merge', 'same_db', 'analytics.broken', 'duplicate_source_key', NULL, NULL, NULL, '1', NULL, 'cli', 'loader', '551', '0.1.0'),
	('01a22a11-de63-7473-9b9c-23384961f200', 'hourly', '2026-02-01 01:29:03.938302+00', '2026-02-01 01:29:04.227+00', 'success', NULL, '1', '1', '0', '0', NULL, NULL, '1', '2026-02-01 01:29:04.241574+00', 'true', '0', '0', '0', '0', '0', '0', 'append', 'same_db', 'analytics.hourly', NULL, NULL, NULL, '2026-02-01 01:00:00+00', '1', NULL, 'run-due', 'loader', '690', '0.1.0'),
	('01a22a11-e3fc-712d-8b94-8a0a017ace8a', 'customers', '2026-02-01 01:29:06.343493+00', '2026-02-01 01:29:06.788+00', 'success', NULL, '4', '2', '0', '2', NULL, NULL, '2', '2026-02-01 01:29:06.80467+00', 'true', '2', '1', '0', '0', '0', '0', 'scd2', 'same_db', 'analytics.customers', NULL, NULL, NULL, NULL, '1', NULL, 'cli', 'loader', '844', '0.1.0'),
	('01a22a11-eccf-7459-ac53-f44309c8b0d1', 'orders', '2026-02-01 01:29:08.677584+00', '2026-02-01 01:29:09.263+00', 'success', NULL, '2', '0', '1', '0', NULL, NULL, '2', '2026-02-01 01:29:09.324352+00', 'true', '1', '1', '0', '0', '0', '0', 'merge', 'same_db', 'analytics.orders', NULL, NULL, NULL, NULL, '1', NULL, 'cli', 'loader', '954', '0.1.0'),
	('01a22a11-f74c-75bb-afdd-e2214456e475', 'events', '2026-02-01 01:29:11.403274+00', '2026-02-01 01:29:12.027+00', 'success', NULL, '4', '2', '0', '0', '2026-01-01 10:30:00+00', '2026-01-01 11:00:00+00', '2', '2026-02-01 01:29:12.067049+00', 'true', '0', '0', '0', '2', '0', '0', 'append', 'same_db', 'analytics.events', NULL, NULL, NULL, NULL, '1', NULL, 'cli', 'loader', '1034', '0.1.0'),
	('01a22a12-01fc-71aa-9807-0fae3af415df', 'prices', '2026-02-01 01:29:14.234702+00', '2026-02-01 01:29:14.503+00', 'success', NULL, '2', '2', '0', '0', NULL, NULL, '2', '2026-02-01 01:29:14.508326+00', 'true', '0', '0', '0', '0', '0', '0', 'truncate', 'same_db', 'analytics.prices', NULL, NULL, NULL, NULL, '1', NULL, 'cli', 'loader', '1099', '0.1.0');
CREATE TABLE ematix_flow.run_steps(run_id UUID, n INTEGER, kind VARCHAR NOT NULL, purpose VARCHAR NOT NULL, "rows" BIGINT, "milliseconds" DOUBLE NOT NULL, PRIMARY KEY(run_id, n));
INSERT INTO ematix_flow."run_steps" VALUES
	('01a22a11-aeec-71d6-9099-9c9e49527e59', '1', 'ddl', 'create the schema analytics', NULL, '1.34'),
	('01a22a11-aeec-71d6-9099-9c9e49527e59', '10', 'guard', 'no key has two current versions (id)   expects no rows', '0', '1.886'),
	('01a22a11-aeec-71d6-9099-9c9e49527e59', '11', 'finish', 'run history', NULL, '7.125'),
	('01a22a11-aeec-71d6-9099-9c9e49527e59', '2', 'ddl', 'create the table analytics.customers', NULL, '1.547'),
	('01a22a11-aeec-71d6-9099-9c9e49527e59', '3', 'stage', 'copy the source query into ematix_flow._ematix_stage_customers_01a22a11aeec71d690999c9e49527e59', '4', '2.533'),
	('01a22a11-aeec-71d6-9099-9c9e49527e59', '4', 'guard', 'the source is not empty   expects no rows', '0', '0.738'),
	('01a22a11-aeec-71d6-9099-9c9e49527e59', '5', 'guard', 'count NULL and duplicate keys (id)', NULL, '2.456'),
	('01a22a11-aeec-71d6-9099-9c9e49527e59', '8', 'insert', 'open the first version of every key', '4', '3.283'),
	('01a22a11-aeec-71d6-9099-9c9e49527e59', '9', 'guard', 'no key has two rows (id, valid_from)   expects no rows', '0', '3.246'),
	('01a22a11-b5d5-76d7-a134-3a0472cb5097', '1', 'ddl', 'create the table analytics.orders', NULL, '1.905'),
	('01a22a11-b5d5-76d7-a134-3a0472cb5097', '2', 'stage', 'copy the source query into ematix_flow._ematix_stage_orders_01a22a11b5d576d7a1343a0472cb5097', '3', '4.444'),
	('01a22a11-b5d5-76d7-a134-3a0472cb5097', '3', 'guard', 'the source is not empty   expects no rows', '0', '0.966'),
	('01a22a11-b5d5-76d7-a134-3a0472cb5097', '4', 'guard', 'count NULL and duplicate keys (id)', NULL, '7.118'),
	('01a22a11-b5d5-76d7-a134-3a0472cb5097', '7', 'insert', 'insert every row', '3', '1.781'),
	('01a22a11-b5d5-76d7-a134-3a0472cb5097', '8', 'guard', 'no key has two rows (id)   expects no rows', '0', '5.833'),
	('01a22a11-b5d5-76d7-a134-3a0472cb5097', '9', 'finish', 'run history', NULL, '9.241'),
	('01a22a11-be65-7471-947f-2409d73c5db8', '1', 'ddl', 'create the table analytics.events', NULL, '37.575'),
	('01a22a11-be65-7471-947f-2409d73c5db8', '10', 'finish', 'watermark, run history', NULL, '114.54'),
	('01a22a11-be65-7471-947f-2409d73c5db8', '2', 'stage', 'copy the source query into ematix_flow._ematix_stage_events_01a22a11be657471947f2409d73c5db8', '2', '38.774'),
	('01a22a11-be65-7471-947f-2409d73c5db8', '3', 'guard', 'no NULL in at   expects no rows', '0', '2.956'),
	('01a22a11-be65-7471-947f-2409d73c5db8', '4', 'guard', 'no at in the future   expects no rows', '0', '2.986'),
	('01a22a11-be65-7471-947f-2409d73c5db8', '5', 'diff', 'rows that the ledger of what was loaded does not know', '2', '3.852'),
	('01a22a11-be65-7471-947f-2409d73c5db8', '6', 'insert', 'append the rows that are new', '2', '9.893'),
	('01a22a11-be65-7471-947f-2409d73c5db8', '7', 'finish', 'the watermark that this reading leaves: the greatest at', NULL, '4.131'),
	('01a22a11-be65-7471-947f-2409d73c5db8', '8', 'finish', 'enter them into the ledger', NULL, '52.537'),
	('01a22a11-be65-7471-947f-2409d73c5db8', '9', 'finish', 'forget what can no longer be read again', NULL, '16.351'),
	('01a22a11-c951-766b-b14e-6d31f92bb3b9', '1', 'ddl', 'create the table analytics.prices', NULL, '1.578'),
	('01a22a11-c951-766b-b14e-6d31f92bb3b9', '2', 'stage', 'copy the source query into ematix_flow._ematix_stage_prices_01a22a11c951766bb14e6d31f92bb3b9', '2', '1.92'),
	('01a22a11-c951-766b-b14e-6d31f92bb3b9', '3', 'insert', 'insert the new rows', '2', '2.228'),
	('01a22a11-c951-766b-b14e-6d31f92bb3b9', '4', 'finish', 'run history', NULL, '85.146'),
	('01a22a11-d0f4-7628-9850-e512e9afb4c0', '1', 'ddl', 'create the table analytics.broken', NULL, '1.672'),
	('01a22a11-d0f4-7628-9850-e512e9afb4c0', '2', 'stage', 'copy the source query into ematix_flow._ematix_stage_broken_01a22a11d0f476289850e512e9afb4c0', '2', '2.407'),
	('01a22a11-d0f4-7628-9850-e512e9afb4c0', '3', 'guard', 'count NULL and duplicate keys (id)', NULL, '2.671'),
	('01a22a11-de63-7473-9b9c-23384961f200', '1', 'ddl', 'create the table analytics.hourly', NULL, '1.139'),
	('01a22a11-de63-7473-9b9c-23384961f200', '2', 'insert', 'append every row of the source', '1', '6.005'),
	('01a22a11-de63-7473-9b9c-23384961f200', '3', 'finish', 'run history', NULL, '6.314'),
	('01a22a11-e3fc-712d-8b94-8a0a017ace8a', '1', 'stage', 'copy the source query into ematix_flow._ematix_stage_customers_01a22a11e3fc712d8b948a0a017ace8a', '4', '3.662'),
	('01a22a11-e3fc-712d-8b94-8a0a017ace8a', '10', 'close', 'close out the current versions of changed rows', '1', '7.219'),
	('01a22a11-e3fc-712d-8b94-8a0a017ace8a', '11', 'close', 'close out the current versions of keys that left the source', '1', '2.327'),
	('01a22a11-e3fc-712d-8b94-8a0a017ace8a', '12', 'insert', 'open new versions', '2', '3.475'),
	('01a22a11-e3fc-712d-8b94-8a0a017ace8a', '13', 'guard', 'no key has two rows (id, valid_from)   expects no rows', '0', '3.454'),
	('01a22a11-e3fc-712d-8b94-8a0a017ace8a', '14', 'guard', 'no key has two current versions (id)   expects no rows', '0', '2.023'),
	('01a22a11-e3fc-712d-8b94-8a0a017ace8a', '15', 'finish', 'run history', NULL, '14.338'),
	('01a22a11-e3fc-712d-8b94-8a0a017ace8a', '2', 'guard', 'the source is not empty   expects no rows', '0', '4.266'),
	('01a22a11-e3fc-712d-8b94-8a0a017ace8a', '3', 'guard', 'count NULL and duplicate keys (id)', NULL, '2.779'),
	('01a22a11-e3fc-712d-8b94-8a0a017ace8a', '6', 'diff', 'rows that are new or differ in name, city', NULL, '7.282'),
	('01a22a11-e3fc-712d-8b94-8a0a017ace8a', '7', 'diff', 'count what was found', NULL, '1.951'),
	('01a22a11-e3fc-712d-8b94-8a0a017ace8a', '8', 'guard', 'not more than 50 % of the current keys left the source   expects no rows', '0', '1.51'),
	('01a22a11-e3fc-712d-8b94-8a0a017ace8a', '9', 'guard', 'no current version begins after this run   expects no rows', '0', '1.21'),
	('01a22a11-eccf-7459-ac53-f44309c8b0d1', '1', 'stage', 'copy the source query into ematix_flow._ematix_stage_orders_01a22a11eccf7459ac53f44309c8b0d1', '2', '17.573'),
	('01a22a11-eccf-7459-ac53-f44309c8b0d1', '10', 'update', 'update rows that differ', '1', '2.745'),
	('01a22a11-eccf-7459-ac53-f44309c8b0d1', '12', 'guard', 'no key has two rows (id)   expects no rows', '0', '2.136'),
	('01a22a11-eccf-7459-ac53-f44309c8b0d1', '13', 'finish', 'run history', NULL, '8.169'),
	('01a22a11-eccf-7459-ac53-f44309c8b0d1', '2', 'guard', 'the source is not empty   expects no rows', '0', '4.27'),
	('01a22a11-eccf-7459-ac53-f44309c8b0d1', '3', 'guard', 'count NULL and duplicate keys (id)', NULL, '59.767'),
	('01a22a11-eccf-7459-ac53-f44309c8b0d1', '6', 'diff', 'rows that are new or differ in amount, status', NULL, '52.581'),
	('01a22a11-eccf-7459-ac53-f44309c8b0d1', '7', 'diff', 'count what was found', NULL, '20.29'),
	('01a22a11-eccf-7459-ac53-f44309c8b0d1', '8', 'guard', 'not more than 50 % of the current keys left the source   expects no rows', '0', '2.916'),
	('01a22a11-eccf-7459-ac53-f44309c8b0d1', '9', 'update', 'mark rows whose key left the source: is_deleted', '1', '2.609'),
	('01a22a11-f74c-75bb-afdd-e2214456e475', '1', 'guard', 'the watermark does not lie in the future   expects no rows', '0', '73.206'),
	('01a22a11-f74c-75bb-afdd-e2214456e475', '10', 'finish', 'watermark, run history', NULL, '32.972'),
	('01a22a11-f74c-75bb-afdd-e2214456e475', '2', 'stage', 'copy the source query into ematix_flow._ematix_stage_events_01a22a11f74c75bbafdde2214456e475', '4', '51.05'),
	('01a22a11-f74c-75bb-afdd-e2214456e475', '3', 'guard', 'no NULL in at   expects no rows', '0', '2.72'),
	('01a22a11-f74c-75bb-afdd-e2214456e475', '4', 'guard', 'no at in the future   expects no rows', '0', '2.17'),
	('01a22a11-f74c-75bb-afdd-e2214456e475', '5', 'diff', 'rows that the ledger of what was loaded does not know', '2', '4.675'),
	('01a22a11-f74c-75bb-afdd-e2214456e475', '6', 'insert', 'append the rows that are new', '2', '3.621'),
	('01a22a11-f74c-75bb-afdd-e2214456e475', '7', 'finish', 'the watermark that this reading leaves: the greatest at', NULL, '4.047'),
	('01a22a11-f74c-75bb-afdd-e2214456e475', '8', 'finish', 'enter them into the ledger', NULL, '7.805'),
	('01a22a11-f74c-75bb-afdd-e2214456e475', '9', 'finish', 'forget what can no longer be read again', NULL, '1.915'),
	('01a22a12-01fc-71aa-9807-0fae3af415df', '1', 'stage', 'copy the source query into ematix_flow._ematix_stage_prices_01a22a1201fc71aa98070fae3af415df', '2', '2.229'),
	('01a22a12-01fc-71aa-9807-0fae3af415df', '2', 'truncate', 'empty the target; readers wait from here on', NULL, '1.305'),
	('01a22a12-01fc-71aa-9807-0fae3af415df', '3', 'insert', 'insert the new rows', '2', '1.258'),
	('01a22a12-01fc-71aa-9807-0fae3af415df', '4', 'finish', 'run history', NULL, '6.575');
CREATE TABLE ematix_flow.schema_history("target" VARCHAR NOT NULL, fingerprint VARCHAR NOT NULL, declaration JSON NOT NULL, encoding_version INTEGER NOT NULL, run_id UUID NOT NULL, created BOOLEAN NOT NULL, recorded_at TIMESTAMP WITH TIME ZONE DEFAULT("system".main.now()) NOT NULL);
INSERT INTO ematix_flow."schema_history" VALUES
	('analytics.customers', '8c706c5553bef6202692887e5bf9dc4599fcff4cd1d3214950760e8cc0e973b2', '{"mode":"scd2","columns":{"id":"BIGINT?","name":"VARCHAR?","city":"VARCHAR?","valid_from":"timestamptz","valid_to":"timestamptz?","is_current":"boolean","row_hash":"bytes"},"keys":["id"],"compared":["name","city"],"primary_key":[],"natural_key":[]}', '1', '01a22a11-aeec-71d6-9099-9c9e49527e59', 'true', '2026-02-01 01:28:52.763431+00'),
	('analytics.customers', 'c6c0ca415c17a5c5e7ede3f7feb871d5d68df93d79a3645773324e471bb75476', '{"mode":"scd2","columns":{"id":"BIGINT?","name":"VARCHAR?","city":"VARCHAR?","valid_from":"timestamptz","valid_to":"timestamptz?","is_current":"boolean","row_hash":"bytes"},"keys":["id"],"compared":["name","city"],"primary_key":["id"],"natural_key":[]}', '1', '01a22a11-e3fc-712d-8b94-8a0a017ace8a', 'false', '2026-02-01 01:29:06.54252+00'),
	('analytics.events', 'f062b978ff850c9871ae4e9f85dbc7e5f59422612c68319c14af758991186d8d', '{"mode":"append","columns":{"id":"BIGINT?","kind":"VARCHAR?","at":"TIMESTAMP WITH TIME ZONE?","_loaded_at":"timestamptz?","_batch_id":"uuid?"},"keys":[],"compared":[],"primary_key":[],"natural_key":[]}', '1', '01a22a11-be65-7471-947f-2409d73c5db8', 'true', '2026-02-01 01:28:57.002791+00'),
	('analytics.hourly', '7fce60230a211ab92875442e0a021f2e57d67b201fd6702a2dae0fd55478d558', '{"mode":"append","columns":{"said":"VARCHAR?","_loaded_at":"timestamptz?","_batch_id":"uuid?"},"keys":[],"compared":[],"primary_key":[],"natural_key":[]}', '1', '01a22a11-de63-7473-9b9c-23384961f200', 'true', '2026-02-01 01:29:04.058875+00'),
	('analytics.orders', '999eadb0d332905cdbf3862819f5ecc1d01e3ec3d3ab76d7d1e3343c032af745', '{"mode":"merge","columns":{"id":"BIGINT?","amount":"DECIMAL(10,2)?","status":"VARCHAR?","is_deleted":"boolean"},"keys":["id"],"compared":["amount","status"],"primary_key":["id"],"natural_key":[]}', '1', '01a22a11-eccf-7459-ac53-f44309c8b0d1', 'false', '2026-02-01 01:29:08.774874+00'),
	('analytics.orders', 'ed8186184d0efd738f9916ba92a7c54212cc13004e60e3d28e1212781e9f5a34', '{"mode":"merge","columns":{"id":"BIGINT?","amount":"DECIMAL(10,2)?","status":"VARCHAR?","is_deleted":"boolean"},"keys":["id"],"compared":["amount","status"],"primary_key":[],"natural_key":[]}', '1', '01a22a11-b5d5-76d7-a134-3a0472cb5097', 'true', '2026-02-01 01:28:54.734103+00'),
	('analytics.prices', '2287861ed5fbeab60669364d9bd69aeddc91037f6d661bf9c7f0a4859f340029', '{"mode":"truncate","columns":{"sku":"VARCHAR?","price":"DECIMAL(10,2)?"},"keys":[],"compared":[],"primary_key":[],"natural_key":[]}', '1', '01a22a11-c951-766b-b14e-6d31f92bb3b9', 'true', '2026-02-01 01:28:59.600812+00');
CREATE TABLE ematix_flow.slots(pipeline VARCHAR, slot TIMESTAMP WITH TIME ZONE, status VARCHAR NOT NULL, epoch BIGINT DEFAULT(0) NOT NULL, "owner" VARCHAR, attempt INTEGER DEFAULT(0) NOT NULL, lease_until TIMESTAMP WITH TIME ZONE, PRIMARY KEY(pipeline, slot));
INSERT INTO ematix_flow."slots" VALUES
	('hourly', '2026-02-01 01:00:00+00', 'claimed', '0', '01a22a11-de63-7473-9b9c-23384961f200', '0', NULL);
CREATE TABLE ematix_flow.targets("target" VARCHAR PRIMARY KEY, run_number BIGINT DEFAULT(0) NOT NULL, generation BIGINT DEFAULT(0) NOT NULL, last_instant TIMESTAMP WITH TIME ZONE, compare_set VARCHAR[], earlier_sets JSON DEFAULT('[]') NOT NULL, encoding_version INTEGER, fingerprint VARCHAR);
INSERT INTO ematix_flow."targets" VALUES
	('analytics.broken', '0', '0', NULL, NULL, '[]', NULL, NULL),
	('analytics.customers', '2', '2', '2026-02-01 01:29:06.54252+00', '[city, name]', '[]', '1', 'c6c0ca415c17a5c5e7ede3f7feb871d5d68df93d79a3645773324e471bb75476'),
	('analytics.events', '2', '2', '2026-02-01 01:29:11.483183+00', NULL, '[]', NULL, 'f062b978ff850c9871ae4e9f85dbc7e5f59422612c68319c14af758991186d8d'),
	('analytics.hourly', '1', '1', '2026-02-01 01:29:04.058875+00', NULL, '[]', NULL, '7fce60230a211ab92875442e0a021f2e57d67b201fd6702a2dae0fd55478d558'),
	('analytics.orders', '2', '2', '2026-02-01 01:29:08.774874+00', NULL, '[]', NULL, '999eadb0d332905cdbf3862819f5ecc1d01e3ec3d3ab76d7d1e3343c032af745'),
	('analytics.prices', '2', '2', '2026-02-01 01:29:14.329956+00', NULL, '[]', NULL, '2287861ed5fbeab60669364d9bd69aeddc91037f6d661bf9c7f0a4859f340029');
CREATE TABLE ematix_flow.watermarks(pipeline_name VARCHAR PRIMARY KEY, column_name VARCHAR NOT NULL, last_value VARCHAR, updated_at TIMESTAMP WITH TIME ZONE DEFAULT("system".main.now()) NOT NULL, read_from VARCHAR, covered_from VARCHAR, column_type VARCHAR, "identity" VARCHAR[], "target" VARCHAR);
INSERT INTO ematix_flow."watermarks" VALUES
	('events', 'at', '2026-01-01 11:00:00+00', '2026-02-01 01:29:12.004+00', '2026-01-01 11:00:00+00', '2026-01-01 10:00:00+00', 'TIMESTAMP WITH TIME ZONE', '[id, kind, at]', 'analytics.events');
