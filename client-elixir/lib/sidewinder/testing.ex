defmodule Sidewinder.Testing do
  @moduledoc """
  A client without a daemon, for the tests of applications.

  Tools are functions of Elixir. Everything between is real: options, packing, retries, deadlines, leases, errors; only
  the connection is not. So a test sees what the daemon would make of a value, and a `nil` that becomes a `None`, a tuple
  that is refused and a key that comes back as text show up in tests, not in production.

      setup do
        start_supervised!(
          {Sidewinder.Testing,
           name: MyTest,
           tools: %{
             "add" => fn %{"a" => a, "b" => b} -> a + b end,
             "count" => fn %{"until" => until} -> Stream.take(Stream.iterate(0, &(&1 + 1)), until) end
           }}
        )

        :ok
      end

      test "adds" do
        assert {:ok, 3} = Sidewinder.call(MyTest, "add", %{a: 1, b: 2})
        assert [%{tool: "add", arguments: %{"a" => 1, "b" => 2}}] = Sidewinder.Testing.calls(MyTest)
      end

  A tool takes its arguments, or its arguments and a context: a map with `:inputs` (an enumerable, for uploads and
  conversations), `:metadata`, `:affinity`, `:idempotency_key`, `:remaining` (milliseconds) and `:content_type`. What it
  gives back is the answer; a `Stream`, a range or a function that enumerates is a generator.

  It raises what a worker would: `raise Sidewinder.Testing.Raised, exception: "ValueError", message: "no"` for an
  exception of Python, and `raise %Sidewinder.Error{reason: :queue_full, ran: :no, retry_after: 10}` for what the daemon
  says. Any other exception is told as if Python had raised it.

  Each stand-in has a name of its own, so tests may be `async: true`.
  """

  alias Sidewinder.Client
  alias Sidewinder.Testing.{Standin, Transport}

  @type tool :: (term -> term) | (term, map -> term)

  @doc false
  def child_spec(options),
    do: %{id: Keyword.get(options, :name, Sidewinder), start: {__MODULE__, :start_link, [options]}, type: :supervisor}

  @doc "Starts a client with a stand-in behind it. Takes `tools:` and every option of `Sidewinder.start_link/1`."
  @spec start_link(keyword) :: Supervisor.on_start()
  def start_link(options) do
    {own, options} = Keyword.split(options, [:tools, :leases, :interval_ms, :ttl_ms])
    Client.start_link(options ++ [transport: Transport, channel: own])
  end

  @doc "Puts a tool in, or another one in its place."
  @spec put_tool(atom, String.t(), tool) :: :ok
  def put_tool(client, name, tool), do: ask(client, {:put_tool, name, tool})

  @doc "The calls that have arrived, the oldest first: `tool`, `arguments`, `pool`, `kind`, and the rest of the request."
  @spec calls(atom) :: [map]
  def calls(client), do: ask(client, :calls)

  @doc "Forgets the calls that have arrived."
  @spec forget_calls(atom) :: :ok
  def forget_calls(client), do: ask(client, :forget_calls)

  @doc """
  Tells the client an event, as a daemon would: `Sidewinder.Testing.event(MyTest, :worker_gone, worker: "0.1")`. One that
  has not attached yet, of which `said/1` has no `:hello`, hears nothing of it.
  """
  @spec event(atom, atom, keyword) :: :ok
  def event(client, what, details \\ []), do: ask(client, {:event, what, Map.new(details)})

  @doc "Breaks the connection. The lease goes on if the client comes back in time."
  @spec disconnect(atom) :: :ok
  def disconnect(client), do: ask(client, :disconnect)

  @doc "Ends the lease: the stream ends, and calls under it are refused."
  @spec expire_lease(atom) :: :ok
  def expire_lease(client), do: ask(client, :expire_lease)

  @doc "From now on the stand-in beats no more, as a daemon that hangs; or does again."
  @spec silence(atom, boolean) :: :ok
  def silence(client, silent \\ true), do: ask(client, {:silence, silent})

  @doc "What was said about leases, the oldest first: `{:hello, hello}`, `{:beat, beat}`, `{:detach, detach}`."
  @spec said(atom) :: [tuple]
  def said(client), do: ask(client, :said)

  @doc "Refuses everybody who wants to attach, with this error; `nil`: no more."
  @spec refuse_attach(atom, nil | Sidewinder.Error.t()) :: :ok
  def refuse_attach(client, error), do: ask(client, {:refuse_attach, error})

  defp ask(client, question), do: Standin.ask(Client.fetch!(client).channel, question)
end
