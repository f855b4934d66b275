defmodule Sidewinder.Daemon.Place do
  @moduledoc """
  What a daemon of our own is started with: the program, its arguments, its socket.

  The program is looked for where `binary:` says, then where the environment says (`SIDEWINDER_BIN`), then on the path,
  then in the `priv` folder of this library. Without a place of its own the socket lies beside that of the user's daemon,
  under the name of the client and of this BEAM.
  """

  alias Sidewinder.Options.Address

  # The kernel takes 107 bytes for the path of a socket.
  @socket_max 107

  @kinds [
    binary: :text,
    tools: {:list, "modules whose tools are served, as text"},
    expose: {:list, "\"module:function\", as text"},
    config: :text,
    args: {:list, "further arguments of `sidewinder run`, as text"},
    cd: :text,
    env: :texts
  ]

  @type t :: %{binary: String.t(), args: [String.t()], socket: String.t(), cd: nil | String.t(), env: map}

  @doc "What these options mean, or everything that is wrong with them."
  @spec daemon(atom, keyword, nil | String.t() | [String.t()]) :: {:ok, t} | {:error, [String.t()]}
  def daemon(name, options, address) do
    socket = socket(name, address)
    found = binary(options[:binary])

    case Enum.flat_map(options, &problem/1) ++ served(options) ++ short(socket) ++ missing(found) do
      [] ->
        {:ok, binary} = found
        env = Map.new(options[:env] || %{})
        {:ok, %{binary: binary, args: arguments(options, socket), socket: socket, cd: options[:cd], env: env}}

      problems ->
        {:error, problems}
    end
  end

  defp problem({key, value}) do
    case @kinds[key] do
      nil -> ["daemon: there is no option #{key}; there are #{Enum.map_join(Keyword.keys(@kinds), ", ", &inspect/1)}"]
      {:list, wanted} -> if texts?(value), do: [], else: ["daemon: #{key} is a list of #{wanted}"]
      :texts -> if env?(value), do: [], else: ["daemon: #{key} is a map from text to text"]
      :text -> if is_binary(value), do: [], else: ["daemon: #{key} is text"]
    end
  end

  defp texts?(value), do: is_list(value) and Enum.all?(value, &is_binary/1)
  defp env?(value), do: is_map(value) and Enum.all?(value, fn {a, b} -> is_binary(a) and is_binary(b) end)

  defp served(options) do
    if Enum.any?([:tools, :expose, :config, :args], &(options[&1] not in [nil, []])),
      do: [],
      else: ["daemon: it would serve nothing: say tools: [\"my_module\"], or config: \"sidewinder.toml\""]
  end

  defp short(socket) do
    if byte_size(socket) <= @socket_max,
      do: [],
      else: ["address: the path of a socket has at most #{@socket_max} bytes, and #{socket} has #{byte_size(socket)}"]
  end

  defp missing({:ok, _}), do: []
  defp missing({:error, what}), do: ["daemon: " <> what]

  defp socket(_name, address) when address != nil do
    {:ok, [{:unix, path}]} = Address.all(address)
    path
  end

  defp socket(name, nil) do
    word = name |> inspect() |> String.replace(~r/[^A-Za-z0-9]+/, "-")
    Path.join(Path.dirname(Address.default_socket()), "#{word}-#{System.pid()}.sock")
  end

  defp arguments(options, socket) do
    lists = for key <- [:tools, :expose], value <- options[key] || [], do: ["--#{key}", value]
    config = if options[:config], do: ["--config", options[:config]], else: []

    # A program that is too old to know the mode would outlive us; it does not know the flag either, and refuses to start.
    ["run", "--mode", "coupled", "--socket", socket] ++ config ++ List.flatten(lists) ++ (options[:args] || [])
  end

  @doc "Where the program is, or everywhere it was looked for."
  @spec binary(nil | String.t()) :: {:ok, String.t()} | {:error, String.t()}
  def binary(named) do
    priv =
      with path when is_list(path) <- :code.priv_dir(:sidewinder), do: Path.join(List.to_string(path), "sidewinder")

    places = [
      {"the option binary", named},
      {"the environment (SIDEWINDER_BIN)", System.get_env("SIDEWINDER_BIN")},
      {"the path", System.find_executable("sidewinder")},
      {"priv", if(is_binary(priv) and File.exists?(priv), do: priv)}
    ]

    case Enum.find(places, fn {_, place} -> place not in [nil, ""] end) do
      {where, place} -> executable(where, place)
      nil -> {:error, nowhere(Enum.map_join(places, ", ", &elem(&1, 0)))}
    end
  end

  defp nowhere(places),
    do: "no program `sidewinder`: looked at #{places}; name it by binary: or SIDEWINDER_BIN, or put it on the path"

  # Who names a program means that one and no other.
  defp executable(where, place) do
    case System.find_executable(place) do
      nil -> {:error, "#{where} names #{place}, which is no program that can be run"}
      path -> {:ok, Path.expand(path)}
    end
  end
end
