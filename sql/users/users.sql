-- users.sql: what the users service asks of its own tables.

-- name: register :row
SELECT create_account(:email, :username, :hash, :first_name, :last_name, false) AS account_id;

-- name: create_superuser :row
SELECT create_account(:email, :username, :hash, NULL, NULL, true) AS account_id;

-- name: find_account :row
-- By username (kept in NFKC), or by address; whoever has it as username comes first.
SELECT u.id AS account_id, u.password, u.is_active
  FROM auth_user u
 WHERE u.username = normalize(:login, NFKC)
    OR (lower(u.email) = lower(:login) AND u.email <> '')
 ORDER BY u.username = normalize(:login, NFKC) DESC LIMIT 1;

-- name: record_failed_sign_in :none
SELECT record_failed_sign_in(:login, :account_id::bigint, :client);

-- name: record_sign_in :row
-- Unless the account is another than when its password was compared.
UPDATE auth_user SET last_login = now(), password = :hash
 WHERE id = :account_id::bigint AND password = :old_hash AND is_active
RETURNING id;

-- name: open_session :row
SELECT open_session(:account_id::bigint, :jti_hash, :client) AS family;

-- name: rotate_refresh :row
SELECT rotate_refresh(:jti_hash, :successor_hash) AS outcome;

-- name: get_session :row
SELECT s.family, s.user_id, s.is_staff, s.issued, s.access_expires, s.refresh_expires,
       a.json AS "user"
  FROM session s JOIN account a ON a.id = s.user_id
 WHERE s.jti_hash = :jti_hash;

-- name: find_live_session :row
-- That an access token belongs to, or a refresh token that would still be taken.
SELECT f.id
  FROM session_family f JOIN auth_user u ON u.id = f.user_id
 WHERE f.id = family_of(:family) AND u.id = :account_id::bigint AND u.is_active
   AND f.ended_at IS NULL AND f.expires_at > now()
--when jti_hash
   AND EXISTS (SELECT FROM refresh_token t
                WHERE t.jti_hash = :jti_hash AND t.family_id = f.id
                  AND coalesce(t.used_at > now() - interval '10 seconds', true))
--end
;

-- name: end_session :none
UPDATE session_family SET ended_at = clock_timestamp()
 WHERE id = family_of(:family) AND user_id = :account_id::bigint AND ended_at IS NULL;

-- name: end_all_sessions :none
SELECT end_sessions(:user_id::bigint);

-- name: set_active :row
SELECT known, changed, sessions FROM set_active(:email, :is_active::boolean);

-- name: show_profile :json
SELECT json FROM account WHERE id = :user_id::bigint;

-- name: get_account :row
SELECT u.email, u.username, u.password, u.first_name, u.last_name, p.phone, p.date_of_birth
  FROM auth_user u LEFT JOIN users_profile p ON p.user_id = u.id
 WHERE u.id = :user_id::bigint;

-- name: lock_account :none
-- A statement of its own: one that waits for a lock and reads the row too would see it as it was before.
SELECT id FROM auth_user WHERE id = :user_id::bigint FOR NO KEY UPDATE;

-- name: change_account :none
SELECT change_account(:user_id::bigint, :email, :first_name, :last_name, :phone,
                      :date_of_birth::date);

-- name: change_password :row
-- Unless it is another than when the old one was compared.
WITH changed AS (
  UPDATE auth_user SET password = :hash
   WHERE id = :user_id::bigint AND password = :old_hash
  RETURNING id
)
SELECT c.id, end_sessions(c.id, family_of(:family)) FROM changed c;

-- name: show_user :json
-- For siblings: who an order is for, and where it goes.
SELECT json_build_object(
         'id', u.id, 'email', u.email, 'username', u.username, 'is_staff', u.is_staff,
         'is_active', u.is_active,
         'address', (SELECT a.json FROM address a
                      WHERE a.id = :address_id::bigint AND a.user_id = u.id))
  FROM auth_user u
 WHERE u.id = :id::bigint;

-- name: list_ended_sessions :json
-- Older ones need no list, nor do those that were last refreshed before: their access tokens have
-- expired, even by a clock that is a minute slow.
-- What is too much for an answer is told by the time of the newest left out: no access token issued
-- until then is to be believed.  `since` is for the next question: who ended a session says so
-- before his transaction commits.
WITH ended AS (
  SELECT f.id, f.ended_at, row_number() OVER (ORDER BY f.ended_at DESC, f.id) AS place
    FROM session_family f
   WHERE f.ended_at >= greatest(:since::timestamptz, now() - interval '16 minutes')
     AND EXISTS (SELECT FROM refresh_token t
                  WHERE t.family_id = f.id AND t.issued_at >= now() - interval '16 minutes')
   ORDER BY f.ended_at DESC, f.id
   LIMIT 30001
)
SELECT json_build_object(
         'families', (SELECT coalesce(json_agg(e.id), '[]') FROM ended e WHERE e.place <= 30000),
         'until', (SELECT ceil(extract(epoch FROM e.ended_at))::bigint + 2
                     FROM ended e WHERE e.place = 30001),
         'since', wire_time(now() - interval '1 minute'));

-- name: receive_user_event :json
-- Nothing that happens elsewhere changes an account.
SELECT json_build_object('applied', first_receipt(:event_id::uuid, :type));
