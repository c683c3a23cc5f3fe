CREATE TABLE chat_user (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email        text NOT NULL UNIQUE,
    display_name varchar(100),
    is_active    boolean NOT NULL DEFAULT true,
    settings     jsonb NOT NULL DEFAULT '{}',
    avatar       bytea,
    created_at   timestamptz NOT NULL DEFAULT now()
);
