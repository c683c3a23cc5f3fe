CREATE TYPE "Role" AS ENUM ('admin', 'member', 'guest');

CREATE TABLE "User" (
    "id"          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "email"       text NOT NULL,
    "displayName" varchar(100),
    "role"        "Role" NOT NULL DEFAULT 'member',
    "isActive"    boolean NOT NULL DEFAULT true,
    "settings"    jsonb,
    "createdAt"   timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX "User_email_key" ON "User" ("email");
